"""From the columns of files to a dataset: which are features, and whether the target is a number or a class. N rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from d2lrun.config.types import FLOAT32_MAX
from d2lrun.counts import counted
from d2lrun.disk import cells
from d2lrun.disk.cells import Sheet, shown
from d2lrun.disk.content import Content
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.encoding import MANY, Encoded, absent, encode, features_of, kind_of, learn
from d2lrun.tasks.tabular.remarks import remarks_on
from d2lrun.tasks.tabular.table import Cells, TableDataset

NAMED = 5  # most names in a message


@dataclass(frozen=True)
class Roles:
    """What the columns are for."""

    target: str
    identifier: str | None = None  # the names of the rows
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # columns whose numbers are categories
    missing: tuple[str, ...] = cells.MISSING  # cells without a value, in lower case

    def features(self, sheet: Sheet) -> list[str]:
        """Return the columns that may become features."""
        return [name for name in sheet.columns if name not in (self.target, self.identifier, *self.drop)]


def build(
    name: str,
    train: Sheet,
    test: Sheet | None,
    roles: Roles,
    *,
    task: str = "auto",
    logarithmic: bool = False,
    whole: bool = False,
    contents: Sequence[Content],
    pools: Mapping[str, str],
) -> TableDataset:
    """Return the dataset on the CPU, with features fitted on all training rows, or on all rows if ``whole``.

    ``test`` are the rows to predict, which may have no targets. Raises Refused that names file and line.
    """
    encoded = encoded_rows(train, test, roles)
    classes = classes_of(train, roles, task)
    labelled = None if test is None or roles.target not in test.columns else targets_of(test, roles, classes)
    count = len(train.lines)
    learned = learn(encoded, torch.arange(len(encoded.numbers) if whole else count))
    features = features_of(encoded, learned).split([count, len(encoded.numbers) - count])
    data = TableDataset(
        name,
        *(features[0], targets_of(train, roles, classes), features[1], labelled),
        source=", ".join(each.path for each in (train, test) if each),
        fields=encoded.fields,
        target=roles.target,
        classes=classes,
        logarithmic=logarithmic,
        scaled=not (classes or logarithmic),
        cells=Cells(encoded, train.columns, whole),
        learned=learned,
        identifier=roles.identifier,
        missing=roles.missing,
        test_ids=() if test is None else identifiers(test, roles.identifier),
        contents=tuple(contents),
        pools=pools,
    )
    return replace(data, remarks=tuple(remarks_on(data, train, test, roles.drop)))


def encoded_rows(train: Sheet, test: Sheet | None, roles: Roles) -> Encoded:
    """Return the features of the training rows and then of the test rows; raises Refused."""
    names = roles.features(train)
    rows = {name: [*train.columns[name], *(cells_of(test, name) if test else ())] for name in names}
    kinds = {name: kind_of(train.columns[name], roles.missing) for name in names}
    kinds |= dict.fromkeys(roles.categories, "category")
    for each in (train, *([test] if test else [])):
        check_cells(each, {name: kinds[name] for name in names}, roles.missing)
    encoded = encode(rows, roles.missing, kinds)
    if not any(field.width for field in encoded.fields):
        raise Refused(
            f"{train.path}: no column to predict {shown(roles.target)} from",
            "give a file with columns of numbers or categories, or name categories: dataset.categories=[NAME]",
        )
    return encoded


def cells_of(sheet: Sheet, name: str) -> list[str]:
    """Return a column; raises Refused if the file does not have it."""
    if name not in sheet.columns:
        raise Refused(
            f"{sheet.path}: no column {shown(name)} (have: {', '.join(map(shown, sheet.columns))})",
            "give a file with the columns of the training file",
        )
    return sheet.columns[name]


def check_cells(sheet: Sheet, kinds: Mapping[str, str], missing: Sequence[str]) -> None:
    """Raise Refused for a cell that is not of the kind of its column."""
    check_numbers(sheet, [name for name, kind in kinds.items() if kind == "number"], missing)
    for name in (name for name, kind in kinds.items() if kind == "date"):
        for line, cell in zip(sheet.lines, sheet.columns[name]):
            if not absent(cell, missing) and cells.as_time(cell) is None:
                raise cells.faulty(sheet.path, line, f"{shown(cell)} is no date, as {shown(name)} has in training")


def check_numbers(sheet: Sheet, names: Sequence[str], missing: Sequence[str]) -> None:
    """Raise Refused for a cell that is no number or too large, and for a column with two decimal signs."""
    for name in names:
        there = [(line, cell) for line, cell in zip(sheet.lines, sheet.columns[name]) if not absent(cell, missing)]
        for line, cell in there:
            if not cells.is_number(cell):
                raise cells.faulty(sheet.path, line, f"{shown(cell)} is no number, as {shown(name)} has in training")
            if not abs(cells.as_number(cell)) <= FLOAT32_MAX:
                wanted = f"wanted numbers up to {FLOAT32_MAX:g}"
                raise cells.faulty(sheet.path, line, f"{shown(name)}: {shown(cell)} is too large", wanted)
        cells.one_decimal_sign(sheet.path, name, [cell for _, cell in there], [line for line, _ in there])


def classes_of(sheet: Sheet, roles: Roles, task: str) -> tuple[str, ...]:
    """Return the names of the classes, or none if the target is a number: by ``task``, or by its kind if auto.

    Raises Refused.
    """
    values = cells_of(sheet, roles.target)
    for line, value in zip(sheet.lines, values):
        if absent(value, roles.missing):
            hint = "fill it, or remove the row; rows to predict are a file of their own: dataset.test=FILE"
            raise cells.faulty(sheet.path, line, f"no value of the target {shown(roles.target)}", hint)
    kind = kind_of(values, roles.missing)
    numeric = kind == "number" and roles.target not in roles.categories
    if task == "regression" or (task == "auto" and numeric):
        if kind != "number":
            line, value = next((line, value) for line, value in zip(sheet.lines, values) if not cells.is_number(value))
            what = f"{shown(value)} is no number, but the target {shown(roles.target)} of a regression is one"
            raise cells.faulty(sheet.path, line, what, "dataset.task=classification")
        return ()
    classes = sorted(set(values), key=by_number)
    if not 2 <= len(classes) <= MANY:
        found = f"{shown(roles.target)} has {counted(len(classes), 'different value')}"
        raise Refused(f"{sheet.path}: {found}, wanted 2 to {MANY:,} classes", "dataset.target=… names another column")
    return tuple(classes)


def by_number(name: str) -> tuple[float, str]:
    """Return the key that sorts classes: numbers by value, then others by their letters."""
    return (cells.as_number(name) if cells.is_number(name) else float("inf")), name


def targets_of(sheet: Sheet, roles: Roles, classes: Sequence[str]) -> Tensor:
    """Return the targets: numbers float32 [N, 1], or classes int64 [N]; raises Refused."""
    values = cells_of(sheet, roles.target)
    if not classes:
        for line, value in zip(sheet.lines, values):
            if not cells.is_number(value):
                hint = "remove the column, if these rows are to be predicted"
                raise cells.faulty(sheet.path, line, f"{shown(value) or 'nothing'} is no {shown(roles.target)}", hint)
        check_numbers(sheet, [roles.target], roles.missing)
        return torch.tensor([cells.as_number(value) for value in values])[:, None]
    places = {name: place for place, name in enumerate(classes)}
    for line, value in zip(sheet.lines, values):
        if value not in places:
            what = f"{shown(roles.target)} is {shown(value) or 'nothing'}, a class without a training row"
            raise cells.faulty(
                sheet.path, line, what, "remove the row, or the column if these rows are to be predicted"
            )
    return torch.tensor([places[value] for value in values])


def identifiers(sheet: Sheet, name: str | None) -> tuple[str, ...]:
    """Return the names of the rows: those of their column, or the lines of the file."""
    return tuple(cells_of(sheet, name)) if name else tuple(map(str, sheet.lines))


def identifier_in(sheet: Sheet, target: str) -> str | None:
    """Return the column that names the rows: the first that is called id, or ends so, with a value of its own each."""
    for name, values in sheet.columns.items():
        ends = name.lower() == "id" or name.endswith(("Id", "ID", "_id", "编号"))
        if ends and name != target and len(set(values)) == len(values) and not any(map(cells.is_missing, values)):
            return name
    return None
