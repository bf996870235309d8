"""Tables of a forecast on the terminal: the counts of a series, and its continuation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.tables import grid, heading, pairs, show, words
from d2lrun.report.text import counted, measured, say, size

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from d2lrun.tasks.forecasting.series import SeriesDataset

SHOWN = 16  # most predicted values that are printed


def show_series(console: Console, data: SeriesDataset, picture: Path) -> None:
    """Print the values, parts and windows of a series, and the path of its picture."""
    values, train = data.values, data.values[: data.train]
    windows = max(0, data.train - data.tau)
    heading(console, f"{data.name}: {counted(len(values), 'value')}")
    rows = [
        ("parts", f"the first {data.train:,} train, the last {len(values) - data.train:,} test"),
        ("windows", f"{windows:,} to train, each of {counted(data.tau, 'value')} and the value after it"),
        (data.column, f"{measured(values.min().item())} to {measured(values.max().item())}"),
        ("train", f"mean {measured(train.mean().item())}, deviation {measured(train.std(correction=0).item())}"),
        ("scale", "as it is" if data.normalise == "none" else "standardised by mean and deviation of what trains"),
        ("memory", size(values.nbytes)),
        *(("note", remark) for remark in data.remarks),
    ]
    console.print(pairs(console, rows))
    say(console, f" from        {data.source}")
    say(console, f" picture     {picture}")


def show_continuation(console: Console, column: str, predicted: Tensor) -> None:
    """Print the first predicted values [K]."""
    table = grid("step", words(console, column).plain)
    for step, value in enumerate(predicted[:SHOWN].tolist(), 1):
        table.add_row(str(step), measured(value))
    show(console, table)
    if len(predicted) > SHOWN:
        say(console, f"\n {counted(len(predicted), 'value')} in all")
