"""Tables of a regression on the terminal: the fields of a dataset, and predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from d2lrun.disk.cells import shown
from d2lrun.report.tables import grid, heading, pairs, show, words
from d2lrun.report.text import counted, measured, say, size

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from d2lrun.disk.cells import Column
    from d2lrun.tasks.tabular.encoding import Field
    from d2lrun.tasks.tabular.predict import Filled
    from d2lrun.tasks.tabular.table import TableDataset

FEW = 10  # numbers that may be meant as classes
MOST = 6  # most categories or classes of a column that are named
SHOWN = 5  # most fields with missing values, and most predicted rows


def show_table(console: Console, dataset: TableDataset) -> None:
    """Print the rows, fields and targets of a table."""
    used = [field for field in dataset.fields if field.kind != "text"]
    numbers = sum(field.kind != "category" for field in used)
    absent = sorted((field for field in used if field.missing), key=lambda field: -field.missing)
    train, test = len(dataset.train_features), len(dataset.test_features)
    values = counted((train + test) * len(used), "value")
    most = ", ".join(f"{field.name} {field.missing:,}" for field in absent[:SHOWN])
    targets = dataset.train_targets
    if dataset.cells is not None:
        show(console, columns_of(console, dataset))
    heading(console, f"{dataset.name}: {counted(train + test, 'row')}")
    unlabelled = f" (without {dataset.target})" if test and dataset.test_targets is None else ""
    rows = [
        ("rows", f"{train:,} to train, {test:,} to test{unlabelled}"),
        ("fields", f"{counted(numbers, 'number')}, {len(used) - numbers:,} with categories"),
        ("features", f"{dataset.inputs[0]:,}"),
        (
            "missing",
            f"{sum(field.missing for field in absent):,} of {values}" + (f": {most}" if most else ""),
        ),
        (dataset.target, described(dataset)),
        ("memory", size(dataset.train_features.nbytes + dataset.test_features.nbytes + targets.nbytes)),
    ]
    rows += [("note", remark) for remark in dataset.remarks]
    console.print(pairs(console, rows))
    say(console, f" from        {dataset.source}")


def described(dataset: TableDataset) -> str:
    """Return the range of the target, or its classes with their shares."""
    targets = dataset.train_targets
    if not dataset.classes:
        ends = f"{measured(targets.min().item())} to {measured(targets.max().item())}"
        few = len(targets.unique()) <= FEW and dataset.scaled
        hint = f"; only {counted(len(targets.unique()), 'value')}: dataset.task=classification makes them classes"
        return f"a number, {ends}, median {measured(targets.median().item())}" + (hint if few else "")
    shares = (targets.bincount(minlength=dataset.outputs) / len(targets)).tolist()
    named = [f"{name} {part:.1%}" for name, part in zip(dataset.classes, shares)]
    more = f" and {counted(len(named) - MOST, 'more class', 'more classes')}" if len(named) > MOST else ""
    return f"{counted(len(named), 'class', 'classes')}: {', '.join(named[:MOST])}{more}"


def columns_of(console: Console, dataset: TableDataset) -> Table:
    """Return a table with a row for each column of the file: what it is, and what is missing."""
    table = grid("column", "is", "missing")
    table.add_column("values", overflow="fold")
    fields = {field.name: field for field in dataset.fields}
    assert dataset.cells is not None
    for name, column in dataset.cells.columns.items():
        cells = (name, "not used", "", "")
        roles = {dataset.group: "group", dataset.identifier: "name of the row", dataset.target: "target"}
        if name in roles:
            cells = (name, roles[name], "", "")
        elif (field := fields.get(name)) is not None:
            kind = "text, not used" if field.kind == "text" else field.kind
            cells = (name, kind, f"{field.missing:,}" if field.missing else "", summary_of(field, column))
        table.add_row(*(words(console, cell) for cell in cells))
    return table


def summary_of(field: Field, column: Column) -> str:
    """Return the categories of a column, its range, or its first text."""
    if field.kind == "category":
        more = f" and {len(field.values) - MOST:,} more" if len(field.values) > MOST else ""
        return ", ".join(map(shown, field.values[:MOST])) + more
    if field.kind == "text":
        return f"{counted(len(column.values), 'different value')}, such as {shown(column.values[0])}"
    found = column.numbers if field.kind == "number" else column.times
    if not column.there.any():
        return "no value"
    return f"{shown(column.values[np.nanargmin(found)])} to {shown(column.values[np.nanargmax(found)])}"


def show_predicted(console: Console, heads: Sequence[str], names: Sequence[str], predicted: Sequence[str]) -> None:
    """Print the first of the predictions with the names of their rows, and their number."""
    table = grid(*(words(console, head).plain for head in heads))
    for name, value in zip(names[:SHOWN], predicted, strict=False):
        table.add_row(words(console, name), words(console, value))
    show(console, table)
    say(console, f"\n {counted(len(predicted), 'row')} in all")


def show_filled(console: Console, filled: Filled) -> None:
    """Print the first predictions for the rows of a file, and how right they are if the file has the targets."""
    show_predicted(console, (filled.named or "line", filled.known.target), filled.names, filled.found.texts)
    if filled.measured:
        say(console, f" {filled.measured}")
