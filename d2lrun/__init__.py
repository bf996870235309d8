"""d2lrun: train the networks of "Dive into Deep Learning" from one command line."""

__version__ = "0.1.0"
