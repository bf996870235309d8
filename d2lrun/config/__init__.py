"""The schema of a run, its checks, and the composition by Hydra. Imports no torch."""
