"""Tables that fit the terminal: the least important columns are dropped first, and dropped columns are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from d2lrun.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.table import Table
    from rich.text import Text

# A colour always comes with a word.
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
NEEDED = 100  # a column with this priority is never dropped


@dataclass
class Column:
    """One column; ``wanted`` is its priority if the table is too wide."""

    head: str
    cells: Sequence[str]
    wanted: int = NEEDED
    number: bool = True  # right-aligned and never wrapped; else left-aligned and wrapped if necessary


def fitted(console: Console, *layouts: list[Column], best: int | None = None) -> tuple[Table, list[str]]:
    """Return a table of the first of the ``layouts`` that fits the console, and the heads of its dropped columns.

    If none fits, the last one is used. Row ``best`` is highlighted.
    """
    for layout in layouts:
        columns = list(layout)
        while not fits(console, table := build(console, columns, best)):
            least = min(columns, key=lambda column: column.wanted)
            if least.wanted >= NEEDED:
                break
            columns.remove(least)
        else:
            break
    return table, [column.head for column in layout if column not in columns]


def fits(console: Console, table: Table) -> bool:
    """Whether the table fits the console without a wrapped cell."""
    return console.measure(table, options=console.options.update(width=10_000)).maximum <= console.width


def build(console: Console, columns: list[Column], best: int | None = None) -> Table:
    """Return the table with these columns."""
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
    """Return the text, not parsed as markup; the status of a job is coloured."""
    from rich.text import Text

    cell = Text(printable(console, text))
    if text == "★":
        cell.stylize("bold green")
    for word, colour in COLOURS.items():
        if text == word or text.endswith(f" {word}"):
            cell.stylize(colour)
    return cell
