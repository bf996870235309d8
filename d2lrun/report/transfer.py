"""A download while it runs: one live line on a terminal, nothing but its messages elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console


class Transfer:
    """A context manager whose ``say`` and ``progress`` a dataset's loader takes."""

    def __init__(self, console: Console):
        self.console = console
        self.status = console.status("")

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.status.stop()

    def say(self, line: str) -> None:
        self.status.stop()
        say(self.console, line)

    def progress(self, done: int, total: int | None) -> None:
        """``done`` bytes of ``total`` (None: unknown) have come."""
        if self.console.is_interactive:
            self.status.update(f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB"))
            self.status.start()
