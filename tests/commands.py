"""``d2lrun`` without a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from d2lrun.cli import main as cli


@dataclass
class Outcome:
    """How a command ended: its exit code, and what it said."""

    code: int
    out: str
    err: str


def in_this_process(cwd: Path, *words: object, **environment: str) -> Outcome:
    """Run ``d2lrun WORDS`` in ``cwd`` without starting a process, pictures included."""
    with pytest.MonkeyPatch.context() as patch, io.StringIO() as out, io.StringIO() as err:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["d2lrun"])  # which Hydra reads and d2lrun changes
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.delenv("D2LRUN_DATA", raising=False)
        for name, value in {"HYDRA_FULL_ERROR": "1", **environment}.items():
            patch.setenv(name, value)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.attempt([*map(str, words)])
        return Outcome(code, out.getvalue(), err.getvalue())
