"""The training loop, the Task protocol, splits, optimizers, devices and threads."""
