"""The errors of d2lrun. A message says what was given and what was wanted; a hint says what to do.

Only ``cli/main.py`` turns them into an exit code; all other modules raise them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

MACHINE, VALUES = "machine", "values"  # the values of ``cause`` in result.json


class D2lrunError(Exception):
    """An error with a message for the user; ``code`` is the exit code of the process."""

    code = 1

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


class Refused(D2lrunError):
    """The request cannot be carried out as given: configuration, data, device, directory."""

    code = 2
    complaints: Sequence[Any] = ()  # what is wrong with a config, each a Complaint of config/complaints.py


class InUse(Refused):
    """Another process holds the directory."""


class OtherData(Refused):
    """The data differ from the data that the run started with."""


class Failed(D2lrunError):
    """A run failed while it was training, for example because the disk is full or the memory is too small."""


class Diverged(Failed):
    """The loss or the gradient is not finite; the optimizer step was skipped."""


class Pruned(Failed):
    """A search stopped the run because other trials were better at this epoch. This is not an error of the run."""


class Stopped(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP arrived. ``except Exception`` does not catch it, ``except KeyboardInterrupt`` does."""

    def __init__(self, signum: int, message: str = ""):
        super().__init__(message)
        self.signum, self.code = signum, 128 + signum

    def __reduce__(self) -> tuple[type[Stopped], tuple[int, str]]:
        """Pickle the error by its arguments: another process may raise it."""
        return type(self), (self.signum, str(self))


def cause_of(error: BaseException) -> str:
    """Return why a run failed: "machine", or "values" if the same config would fail again.

    "machine" is an error of the system, a device or a database, such as a full disk, also if it is the ``__cause__``
    of another error. Everything else is "values": the run diverged, its values do not fit together, or its batch is
    too large for the memory. A killed process reports nothing; the process that notices this records "machine".
    """
    while error.__cause__ is not None and not is_of_machine(error):
        error = error.__cause__
    return MACHINE if is_of_machine(error) else VALUES


def is_of_machine(error: BaseException) -> bool:
    """Whether the error is of the system, a device or a database; device and database errors are known by name."""
    return isinstance(error, OSError) or type(error).__name__ in ("AcceleratorError", "OperationalError")


def facts_of(error: BaseException) -> dict[str, str]:
    """Return the entries of result.json for an error: ``error``, and ``cause`` if the run failed."""
    words = {"error": masked(str(error) or repr(error))}
    return words if isinstance(error, (Stopped, Pruned)) else words | {"cause": cause_of(error)}


HIDDEN = "***"  # stands for a password, as in SQLAlchemy
IN_ADDRESS = re.compile(r"(://[^:/\s]*:).*@")  # scheme://user:password@host, as SQLAlchemy reads it
IN_QUERY = re.compile(r"([?&](?:[^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*|odbc_connect)=)[^&\s]*", re.IGNORECASE)


def masked(text: str) -> str:
    """Return the text with *** for every password in a database address, which ends at the last @ of its line."""
    return IN_QUERY.sub(rf"\1{HIDDEN}", IN_ADDRESS.sub(rf"\1{HIDDEN}@", text))
