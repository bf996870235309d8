"""Tables of a regression on the terminal: the fields of a dataset, and predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from d2lrun.report.tables import grid, heading, pairs, show
from d2lrun.report.text import counted, measured, say, size

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from d2lrun.tasks.regression.table import TableDataset

SHOWN = 5  # most fields with missing values, and most predicted rows


def show_table(console: Console, dataset: TableDataset) -> None:
    """Print the rows, fields and targets of a table."""
    numbers = sum(field.categories is None for field in dataset.fields)
    absent = sorted((field for field in dataset.fields if field.missing), key=lambda field: -field.missing)
    train, test = len(dataset.train_features), len(dataset.test_features)
    values = counted((train + test) * len(dataset.fields), "value")
    most = ", ".join(f"{field.name} {field.missing:,}" for field in absent[:SHOWN])
    targets = dataset.train_targets
    heading(console, f"{dataset.name}: {counted(train + test, 'row')}")
    unlabelled = "" if dataset.test_targets is not None else f" (without {dataset.target})"
    rows = [
        ("rows", f"{train:,} to train, {test:,} to test{unlabelled}"),
        ("fields", f"{counted(numbers, 'number')}, {len(dataset.fields) - numbers:,} with categories"),
        ("features", f"{dataset.inputs[0]:,}"),
        (
            "missing",
            f"{sum(field.missing for field in absent):,} of {values}" + (f": {most}" if most else ""),
        ),
        (
            dataset.target,
            f"{measured(targets.min().item())} to {measured(targets.max().item())}, "
            f"median {measured(targets.median().item())}",
        ),
        ("memory", size(dataset.train_features.nbytes + dataset.test_features.nbytes + targets.nbytes)),
    ]
    console.print(pairs(console, rows))
    say(console, f" from        {dataset.source}")


def show_numbers(console: Console, dataset: TableDataset, predicted: Tensor) -> None:
    """Print the first of the predictions [N] for the test rows, and their number."""
    table = grid("Id", dataset.target)
    for name, value in zip(dataset.test_ids[:SHOWN], predicted.tolist(), strict=False):
        table.add_row(name, measured(value))
    show(console, table)
    say(console, f"\n {counted(len(predicted), 'row')} in all")
