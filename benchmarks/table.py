"""Tables of what was measured: median, range, and whether the median keeps the bound that is wanted of it."""

from __future__ import annotations

from statistics import median

from rich.table import Table
from rich.text import Text


def columns(title: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True, min_width=33)
    table.add_column("median", no_wrap=True, justify="right", min_width=8)
    table.add_column("range", no_wrap=True, justify="right", min_width=13)
    table.add_column("wanted", no_wrap=True)
    return table


def add(
    table: Table, name: str, values: list[float], unit: str = "", low: float | None = None, high: float | None = None
) -> None:
    """A row: the median of ``values``, their range if there are several, and whether the median keeps its bound."""
    middle = median(values)
    bound = f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else ""
    met = (low is None or middle >= low) and (high is None or middle <= high)
    table.add_row(
        name,
        f"{figure(middle)} {unit:<2}",
        f"{figure(min(values))} - {figure(max(values))}" if len(values) > 1 else "",
        Text(bound) if met else Text(f"{bound}: missed", "red"),
    )


def figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
