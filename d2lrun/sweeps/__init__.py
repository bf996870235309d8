"""Sweeps, many runs by one command: plan, carry out, monitor, rank and continue them."""
