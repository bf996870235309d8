"""A sweep while it runs: looks at the folders of its runs, shows them, and keeps sweep.json up to date."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from d2lrun import files
from d2lrun.report.text import say
from d2lrun.sweep import Sweep, rows

if TYPE_CHECKING:
    from rich.console import Console

TICK = 0.5  # seconds between two looks
ENDED = ("finished", "failed", "diverged", "pruned")


class Monitor:
    """A context manager around a sweep. It reads files only, so that it is the same wherever the runs are."""

    def __init__(self, sweep: Sweep, console: Console):
        self.sweep, self.console = sweep, console
        self.rows: list[dict[str, Any]] = []
        self.seen: dict[str, int] = {}  # when each result.json was written that was read
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.live: Any = None

    def __enter__(self) -> Monitor:
        self.rows = rows(self.sweep)
        self.sweep.write(self.rows)
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.thread.join()
        self.rows = rows(self.sweep)
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            self.sweep.write(self.rows)

    def watch(self) -> None:
        while not self.over.wait(TICK):
            with contextlib.suppress(OSError):
                self.look()

    def look(self) -> None:
        """Read what has ended since the last look."""

    def show(self) -> None:
        """The table of them all."""
        say(self.console, files.to_json(self.sweep.summary(self.rows), indent=1).decode())
