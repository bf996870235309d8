"""The command line: verbs, help, completion."""
