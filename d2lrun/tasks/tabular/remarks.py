"""What is strange in a table: columns that tell the target, name the rows or say nothing, and rows that occur twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from d2lrun.counts import counted
from d2lrun.disk.cells import Column, Sheet, shown
from d2lrun.tasks.tabular.table import TableDataset

NAMED = 5  # most names in a remark
FEWEST = 10  # rows of which a remark on a column is made at least


def remarks_on(data: TableDataset, train: Sheet, test: Sheet | None, drop: Sequence[str]) -> Iterator[str]:
    """Yield a line for each thing that a reader of the metrics should know."""
    columns = {field.name: train.columns[field.name] for field in data.fields}
    if texts := [field.name for field in data.fields if field.kind == "text"]:
        yield f"not used, since it is text: {enumerated(texts)}"
    if constant := [name for name, column in columns.items() if len(column.values) == 1]:
        yield f"constant, so it says nothing: {enumerated(constant)}"
    if len(train.lines) >= FEWEST:
        for field in (field for field in data.fields if field.kind != "text" and field.name not in constant):
            if tells(columns[field.name], train.columns[data.target]):
                known = f"if it is not known before, give dataset.drop=[{field.name}]"
                yield f"{shown(field.name)} determines {shown(data.target)}: {known}"
        numbers = [field.name for field in data.fields if field.kind == "number"]
        if names := [name for name in numbers if names_rows(columns[name])]:
            yield f"only counts the rows, so it is no feature: {enumerated(names)}; give dataset.id={names[0]}"
    yield from duplicates(data, train, test, drop)


def tells(column: Column, target: Column) -> bool:
    """Whether a column determines the target: equal, a multiple of it, or each value occurs with one target only.

    A column whose values hardly repeat determines everything in this way, and is not meant. Rows without a value in the
    column do not count; there must be ``FEWEST`` others.
    """
    rows = column.there[column.index]
    values, targets = column.index[rows], target.index[rows]  # [n], of different cells
    if len(values) < FEWEST:
        return False
    if all(column.values[value] == target.values[place] for value, place in zip(values, targets)):
        return True
    different, classes = column.there.sum(), np.count_nonzero(np.bincount(targets))
    if 1 < different <= len(values) / 2 and classes > 1 and np.unique(paired(values, targets)).size == different:
        return True
    return bool(classes > 2) and proportional(column.numbers[values], target.numbers[targets])


def paired(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return a number for each pair of two arrays of whole numbers from 0, both int64 [n]."""
    return first * (second.max() + 1) + second


def proportional(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether y is a + b times x, but for rounding. Both have numbers only."""
    if np.isnan(x).any() or np.isnan(y).any() or not (np.ptp(x) and np.ptp(y)):
        return False
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-6)


def names_rows(column: Column) -> bool:
    """Whether a column counts the rows: whole numbers, each one more than the number before."""
    if len(column.values) < len(column.index) or not all(value.isdecimal() for value in column.values):
        return False
    return all(after == before + 1 for before, after in pairwise(map(int, column.values)))


def duplicates(data: TableDataset, train: Sheet, test: Sheet | None, drop: Sequence[str]) -> Iterator[str]:
    """Yield a line if rows are the same in all columns but their names, in the training file or in both files."""
    names = [name for name in train.columns if name not in (data.identifier, *drop)]
    if twice := len(train.lines) - different_rows([train.columns[name] for name in names]):
        yield f"repeated in {train.path}: {counted(twice, 'row')}, so a fold may train on what it validates"
    if test is not None:
        both = [name for name in names if name in test.columns]
        seen, rows = (zip(*(sheet.columns[name].cells for name in both)) for sheet in (train, test))
        if again := sum(map(set(seen).__contains__, rows)):
            yield f"in both {train.path} and {test.path}: {counted(again, 'row')}"
        if more := [name for name in test.columns if name not in train.columns]:
            yield f"not used, since only {test.path} has it: {enumerated(more)}"
    if skipped := train.skipped + (test.skipped if test else 0):
        yield f"{counted(skipped, 'row')} without a value skipped"


def different_rows(columns: Sequence[Column]) -> int:
    """Return the number of different rows."""
    rows = columns[0].index  # [N], equal for rows that are equal in the columns so far
    for column in columns[1:]:
        if rows.max() + 1 < len(rows):
            rows = np.unique(paired(rows, column.index), return_inverse=True)[1]
    return int(rows.max()) + 1


def enumerated(names: Sequence[str]) -> str:
    """Return the names, at most ``NAMED`` of them and the number of the others."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + more
