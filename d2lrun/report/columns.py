"""Tables that fit the terminal: the column that is least wanted goes first, and what went is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from d2lrun.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

# Colour is never alone: the word stands there, too.
COLOURS = {
    "finished": "green",
    "failed": "red",
    "diverged": "red",
    "damaged": "red",
    "running": "cyan",
    "stopped": "yellow",
    "pruned": "yellow",
    "unfinished": "yellow",
    "at chance": "yellow",
}
NEEDED = 100  # a column that is wanted so much is never dropped


@dataclass
class Column:
    """One column; ``wanted`` says how long it stays when room is short."""

    head: str
    cells: Sequence[str]
    wanted: int = NEEDED
    number: bool = True  # on the right, in one piece; else on the left, and folded where it must be


def fitted(console: Console, *layouts: list[Column], best: int | None = None) -> tuple[Table, list[str]]:
    """The first of the ``layouts`` that fits the console, and the heads of what was dropped from it.

    The last one is taken in any case. Row ``best`` stands out.
    """
    for layout in layouts:
        kept = list(layout)
        while not fits(console, table := build(console, kept, best)):
            least = min(kept, key=lambda column: column.wanted)
            if least.wanted >= NEEDED:
                break
            kept.remove(least)
        else:
            break
    return table, [column.head for column in layout if column not in kept]


def fits(console: Console, table: Table) -> bool:
    """Whether the console holds the table without a cell being folded."""
    return console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width


def build(console: Console, columns: list[Column], best: int | None = None) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="bold", show_edge=False, collapse_padding=True)
    for column in columns:
        justify: JustifyMethod = "right" if column.number else "left"
        table.add_column(printable(console, column.head), justify=justify, overflow="fold", no_wrap=column.number)
    for number, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        table.add_row(*(cell_text(console, cell) for cell in cells), style="bold" if number == best else None)
    return table


def cell_text(console: Console, text: str) -> Text:
    """The text, not read as markup; the words for how a job stands have their colours."""
    from rich.text import Text

    cell = Text(printable(console, text))
    if text == "★":
        cell.stylize("bold green")
    for word, colour in COLOURS.items():
        if text == word or text.endswith(f" {word}"):
            cell.stylize(colour)
    return cell
