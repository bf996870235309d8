"""Where the lines of a command go: the terminal, a function, or nowhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from io import TextIOBase
from typing import TYPE_CHECKING, Any

from d2lrun import streams
from d2lrun.streams import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.segment import Segment

WIDTH = 200  # columns of a line that goes to a function


def terminal() -> Console:
    """Return the console for results. rich detects colours, NO_COLOR and the width.

    Control characters in the printed text are shown as escapes.
    """
    from rich.console import Console

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            raise  # rich would exit; main.py decides

        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=visible(segment.text))

    file: Any = streams.Terminal(sys.stdout) if sys.stdout.isatty() else sys.stdout
    return Terminal(file=file, highlight=False)


class Lines(TextIOBase):
    """A text stream that calls ``take`` with each line that is not empty."""

    def __init__(self, take: Callable[[str], object]):
        self.take, self.rest = take, ""

    def write(self, text: str) -> int:
        """Take each complete line."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in filter(str.strip, lines):
            self.take(visible(line.rstrip()))
        return len(text)


def to_function(take: Callable[[str], object] = lambda line: None) -> Console:
    """Return a console whose lines go to ``take``, by default nowhere: no colours and no live display."""
    from rich.console import Console

    file: Any = Lines(take)
    return Console(
        file=file, width=WIDTH, force_terminal=False, force_interactive=False, force_jupyter=False, highlight=False
    )
