"""The progress of a download: one live line on a terminal; without a terminal, only its messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console


class Transfer:
    """A context manager with the ``say`` and ``progress`` for a dataset's loader."""

    def __init__(self, console: Console):
        self.console = console
        self.status = console.status("")

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.status.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        self.status.stop()
        say(self.console, line)

    def progress(self, done: int, total: int | None) -> None:
        """Show that ``done`` bytes of ``total`` (None: unknown) have arrived."""
        if self.console.is_interactive:
            self.status.update(f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f} MB" if total else " MB"))
            self.status.start()
