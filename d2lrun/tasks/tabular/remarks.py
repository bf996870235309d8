"""What is strange in a table: columns that tell the target, name the rows or say nothing, and rows that occur twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from d2lrun.counts import counted
from d2lrun.disk.cells import Sheet, as_number, is_number, shown
from d2lrun.tasks.tabular.encoding import absent
from d2lrun.tasks.tabular.table import TableDataset

NAMED = 5  # most names in a remark
FEWEST = 10  # rows of which a remark on a column is made at least


def remarks_on(data: TableDataset, train: Sheet, test: Sheet | None, drop: Sequence[str]) -> Iterator[str]:
    """Yield a line for each thing that a reader of the metrics should know."""
    columns = {field.name: train.columns[field.name] for field in data.fields}
    if texts := [field.name for field in data.fields if field.kind == "text"]:
        yield f"not used, since it is text: {enumerated(texts)}"
    if constant := [name for name, values in columns.items() if len(set(values)) == 1]:
        yield f"constant, so it says nothing: {enumerated(constant)}"
    if len(train.lines) >= FEWEST:
        target = train.columns[data.target]
        for field in data.fields:
            there = [pair for pair in zip(columns[field.name], target) if not absent(pair[0], data.missing)]
            if len(there) >= FEWEST and field.kind != "text" and field.name not in constant and tells(*zip(*there)):
                known = f"if it is not known before, give dataset.drop=[{field.name}]"
                yield f"{shown(field.name)} determines {shown(data.target)}: {known}"
        numbers = [field.name for field in data.fields if field.kind == "number"]
        if names := [name for name in numbers if names_rows(columns[name])]:
            yield f"only counts the rows, so it is no feature: {enumerated(names)}; give dataset.id={names[0]}"
    yield from duplicates(data, train, test, drop)


def tells(values: Sequence[str], target: Sequence[str]) -> bool:
    """Whether a column determines the target: equal, a multiple of it, or each value occurs with one target only.

    A column whose values hardly repeat determines everything in this way, and is not meant.
    """
    if list(values) == list(target):
        return True
    pairs = set(zip(values, target))
    different = len(set(values))
    if len(pairs) == different and 1 < different <= len(values) / 2 and len(set(target)) > 1:
        return True
    return all(map(is_number, (*values, *target))) and len(set(target)) > 2 and proportional(values, target)


def proportional(values: Sequence[str], target: Sequence[str]) -> bool:
    """Whether the target is a + b times the column, but for rounding."""
    import numpy as np

    x, y = (np.array([as_number(value) for value in column]) for column in (values, target))
    if not (np.ptp(x) and np.ptp(y)):
        return False
    return bool(abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-6)


def names_rows(values: Sequence[str]) -> bool:
    """Whether a column counts the rows: whole numbers, each one more than the number before."""
    if not all(value.isdecimal() for value in values):
        return False
    numbers = [int(value) for value in values]
    return all(after == before + 1 for before, after in pairwise(numbers))


def duplicates(data: TableDataset, train: Sheet, test: Sheet | None, drop: Sequence[str]) -> Iterator[str]:
    """Yield a line if rows are the same in all columns but their names, in the training file or in both files."""
    aside = (data.identifier, *drop)
    names = [name for name in train.columns if name not in aside]
    rows = Counter(zip(*(train.columns[name] for name in names)))
    if twice := sum(count - 1 for count in rows.values()):
        yield f"repeated in {train.path}: {counted(twice, 'row')}, so a fold may train on what it validates"
    if test is not None:
        seen = {tuple(value for name, value in zip(names, row) if name in test.columns) for row in rows}
        again = zip(*(test.columns[name] for name in names if name in test.columns))
        if both := sum(row in seen for row in again):
            yield f"in both {train.path} and {test.path}: {counted(both, 'row')}"
        if more := [name for name in test.columns if name not in train.columns]:
            yield f"not used, since only {test.path} has it: {enumerated(more)}"
    if skipped := train.skipped + (test.skipped if test else 0):
        yield f"{counted(skipped, 'row')} without a value skipped"


def enumerated(names: Sequence[str]) -> str:
    """Return the names, at most ``NAMED`` of them and the number of the others."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(shown, names[:NAMED])) + more
