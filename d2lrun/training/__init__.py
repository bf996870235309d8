"""The loop, and what it needs: the Task protocol, splits, optimizers, devices."""
