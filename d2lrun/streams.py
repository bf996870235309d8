"""stdin, stdout and stderr: always there, and nothing that is written to them gives a terminal commands."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
from collections.abc import Iterator
from io import TextIOWrapper
from typing import Any, TextIO

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline: they may command a terminal


def visible(text: str) -> str:
    """The text with an escape such as \\x1b for each control character."""
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def complain(text: str) -> None:
    """Write to stderr; what cannot be written there is dropped."""
    try:
        sys.stderr.write(visible(text))
        sys.stderr.flush()
    except OSError:
        hush(sys.stderr)


def prepare() -> None:
    """Open what the caller has closed, as cron may; and write an escape for what an old code page does not have.

    A closed stream is os.devnull from now on. Otherwise the next file that is opened would take its number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest free number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class Terminal:
    """A stream to a terminal. If that goes away, as when a connection breaks, what is written is dropped.

    A run that trains goes on until it has saved itself, as the SIGHUP asks that comes along.
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
        try:
            yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            hush(self.stream)


def settle() -> None:
    """Write what is buffered; if that fails, drop it: Python would fail once more and change the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            hush(stream)


def hush(stream: TextIO) -> None:
    """From now on what is written to the stream is dropped."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
