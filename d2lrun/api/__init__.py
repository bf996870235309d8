"""d2lrun from Python: the same configs, refusals, directories and bits as on the command line."""
