"""stdin, stdout and stderr: always open, and no text that is written to them controls the terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, TextIO

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all except tab and newline: they can control a terminal


def visible(text: str) -> str:
    """Return the text with an escape such as \\x1b for each control character."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def complain(text: str) -> None:
    """Write to stderr; if this fails, drop the text."""
    try:
        sys.stderr.write(visible(text))
        sys.stderr.flush()
    except OSError:
        hush(sys.stderr)


def prepare() -> None:
    """Open streams that the caller has closed, and write escapes for characters that the encoding does not have.

    A closed stream becomes os.devnull. Otherwise the next file that is opened would get its file descriptor.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # open returns the lowest free number: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Terminal:
    """A stream to a terminal. After the terminal closes, for example with a lost connection, text is dropped.

    The system then also sends SIGHUP. So a run that trains continues until it has saved a checkpoint.
    """

    def __init__(self, stream: TextIO):
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        with self.lasting():
            return self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self.lasting():
            self.stream.flush()

    @contextlib.contextmanager
    def lasting(self) -> Iterator[None]:
        """Ignore the error of a closed terminal, and drop all later text."""
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            hush(self.stream)


def settle() -> None:
    """Flush both streams; if that fails, drop the text. Otherwise Python fails again and changes the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            hush(stream)


def hush(stream: TextIO) -> None:
    """Drop all text that is written to the stream from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
