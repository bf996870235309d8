"""What can go wrong, as the user is told it: what was given, what was wanted, what to do.

Only ``cli.py`` turns these into an exit code; everything below it raises.
"""

import re
from collections.abc import Sequence

MACHINE, VALUES = "machine", "values"  # through which a run fails: ``cause`` in its result.json


class D2lrunError(Exception):
    """A failure with a message for people; ``code`` is the exit code of the process."""

    code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class Refused(D2lrunError):
    """The request cannot be carried out as given: configuration, data, device, directory."""

    code = 2
    complaints: Sequence[object] = ()  # what is wrong with a config, one by one


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


def cause_of(error: BaseException) -> str:
    """Why a run failed: through the "machine", or by its own "values", with which it would fail again.

    The machine is what the system, a device or a database refuses, such as a full disk, whatever it was raised as. All
    else is told by the run itself: it diverged, its values do not go together, its batch is too large for the memory.
    A process that is killed says nothing: that is the machine, too, and whoever finds it names it.
    """
    while error.__cause__ is not None and not is_of_machine(error):
        error = error.__cause__
    return MACHINE if is_of_machine(error) else VALUES


def is_of_machine(error: BaseException) -> bool:
    """By name: torch's error of a broken device, and what every database driver calls a lost or full database."""
    return isinstance(error, OSError) or type(error).__name__ in ("AcceleratorError", "OperationalError")


def facts_of(error: BaseException) -> dict[str, str]:
    """What result.json says of an error: its words, and of a failure its cause."""
    words = {"error": masked(str(error) or repr(error))}
    return words if isinstance(error, (Stopped, Pruned)) else words | {"cause": cause_of(error)}


HIDDEN = "***"  # stands for a password, as in SQLAlchemy
IN_ADDRESS = re.compile(r"(://[^:/\s]*:).*@")  # scheme://user:password@host, as SQLAlchemy reads it
IN_QUERY = re.compile(r"([?&](?:[^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*|odbc_connect)=)[^&\s]*", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with *** for every password in the address of a database; of two @ in a line the last one ends it."""
    return IN_QUERY.sub(rf"\1{HIDDEN}", IN_ADDRESS.sub(rf"\1{HIDDEN}@", text))
