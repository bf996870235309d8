"""What can go wrong, as the user is told it: what was given, what was wanted, what to do.

Only ``cli.py`` turns these into an exit code; everything below it raises.
"""


class D2lrunError(Exception):
    """A failure with a message for people; ``code`` is the exit code of the process."""

    code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class Refused(D2lrunError):
    """The request cannot be carried out as given: configuration, data, device, directory."""

    code = 2


class InUse(Refused):
    """Another process holds the directory."""


class OtherData(Refused):
    """The data are not those that the run began with."""


class Failed(D2lrunError):
    """A run broke down on its way: the disk is full, the memory is too small."""


class Diverged(Failed):
    """The loss or the gradient is no longer finite; the step was not taken."""


class Pruned(Failed):
    """A search has ended the run, since others were better at this point. That is no fault of it."""


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM arrived. It passes every ``except Exception``; other programs know it as KeyboardInterrupt."""

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message)
        self.code = 128 + signum
