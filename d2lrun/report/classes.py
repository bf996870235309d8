"""Tables of classes on the terminal: the examples of each class, its recall and precision, and predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.tables import grid, heading, show, words
from d2lrun.report.text import counted, say

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

BAR = 12  # columns of a probability of 1


def show_sizes(console: Console, name: str, classes: Sequence[str], train: Tensor, test: Tensor) -> None:
    """Print the number of training and test examples of each class: labels ``train`` [N] and ``test`` [M]."""
    counts = [labels.bincount(minlength=len(classes)).tolist() for labels in (train, test)]
    heading(console, f"{name}: {counted(len(classes), 'class', 'classes')}")
    table = grid("class", "train", "test")
    for label, *row in zip(classes, *counts, strict=True):
        table.add_row(words(console, label), *(f"{number:,}" for number in row))
    table.add_section()
    table.add_row("all", *(f"{sum(each):,}" for each in counts))
    show(console, table)
    console.print()


def show_predictions(console: Console, rows: Iterable[tuple[str | Path, str, list[tuple[str, float]]]]) -> None:
    """Print the most probable classes of each file: (file, a remark or "", [(class, probability), ...])."""
    from rich.table import Table

    for file, remark, classes in rows:
        say(console, f"{file}" + (f"  ({remark})" if remark else ""))
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(overflow="fold", min_width=16)
        table.add_column(justify="right", no_wrap=True)
        table.add_column()
        for name, probability in classes:
            filled = 0 if math.isnan(probability) else round(BAR * probability)
            table.add_row(words(console, f"  {name}"), f"{probability:.1%}", words(console, "█" * filled))
        console.print(table)


def show_classes(console: Console, classes: Sequence[str], confusion: Tensor) -> None:
    """Print recall, precision and the most frequent mistake of each class; counts ``confusion`` [true, predicted]."""
    counts = confusion.tolist()
    table = grid("class", "recall", "precision")
    table.add_column("mistaken for", overflow="fold")
    for k, name in enumerate(classes):
        predicted = sum(row[k] for row in counts)
        recall, precision = share(counts[k][k], sum(counts[k])), share(counts[k][k], predicted)
        cells = (name, recall, precision, mistake(counts[k], k, classes))
        table.add_row(*(words(console, cell) for cell in cells))
    show(console, table)
    right, total = sum(counts[k][k] for k in range(len(classes))), sum(map(sum, counts))
    say(console, f"\n accuracy {share(right, total)}: {right:,} of {total:,}")


def mistake(row: list[int], true: int, classes: Sequence[str]) -> str:
    """Return, for example, 'Shirt (98)': the most frequent wrong prediction for the examples of a class."""
    others = [(count, -k) for k, count in enumerate(row) if k != true]
    count, k = max(others, default=(0, 0))
    return f"{classes[-k]} ({count:,})" if count else "–"


def share(part: int, whole: int) -> str:
    """Return a share in percent."""
    return f"{part / whole:.3f}" if whole else "–"
