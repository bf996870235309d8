"""From the columns of files to a dataset: which are features, and whether the target is a number or a class. N rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from d2lrun.config.types import FLOAT32_MAX
from d2lrun.counts import counted
from d2lrun.disk import cells
from d2lrun.disk.cells import Column, Sheet, shown
from d2lrun.disk.content import Content
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.encoding import MANY, Encoded, encode, features_of, field_of, kind_of, learn
from d2lrun.tasks.tabular.remarks import remarks_on
from d2lrun.tasks.tabular.table import Cells, TableDataset

NAMED = 5  # most names in a message


@dataclass(frozen=True)
class Roles:
    """What the columns are for."""

    target: str
    identifier: str | None = None  # the names of the rows
    group: str | None = None  # whose rows are on one side of a split
    drop: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()  # columns whose numbers are categories

    def features(self, sheet: Sheet) -> list[str]:
        """Return the columns that may become features."""
        aside = (self.target, self.identifier, self.group, *self.drop)
        return [name for name in sheet.columns if name not in aside]


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
    encoded = encoded_rows([train, test] if test else [train], roles)
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
        group=roles.group,
        missing=train.missing,
        test_ids=() if test is None else identifiers(test, roles.identifier),
        contents=tuple(contents),
        pools=pools,
    )
    return replace(data, remarks=tuple(remarks_on(data, train, test, roles.drop)))


def encoded_rows(sheets: Sequence[Sheet], roles: Roles) -> Encoded:
    """Return the features of the rows of the training sheet, and of the others; raises Refused."""
    train = sheets[0]
    kinds = {name: kind_of(train.columns[name]) for name in roles.features(train)}
    kinds |= {name: "category" for name in roles.categories if name in kinds}
    tables = [{name: column_of(sheet, name) for name in kinds} for sheet in sheets]
    for sheet in sheets:
        check_cells(sheet, kinds)
    fields = [field_of(name, kind, [table[name] for table in tables]) for name, kind in kinds.items()]
    if not any(field.width for field in fields):
        raise Refused(
            f"{train.path}: no column to predict {shown(roles.target)} from",
            "give a file with columns of numbers or categories, or name categories: dataset.categories=[NAME]",
        )
    return encode(fields, *tables)


def column_of(sheet: Sheet, name: str) -> Column:
    """Return a column; raises Refused if the file does not have it."""
    if name not in sheet.columns:
        raise Refused(
            f"{sheet.path}: no column {shown(name)} (have: {', '.join(map(shown, sheet.columns))})",
            "give a file with the columns of the training file",
        )
    return sheet.columns[name]


def check_cells(sheet: Sheet, kinds: Mapping[str, str]) -> None:
    """Raise Refused for a cell that is not of the kind of its column."""
    for name in (name for name, kind in kinds.items() if kind == "number"):
        check_numbers(sheet, name)
    for name in (name for name, kind in kinds.items() if kind == "date"):
        column = sheet.columns[name]
        if wrong := sheet.first(name, column.there & np.isnan(column.times)):
            line, cell = wrong
            raise cells.faulty(sheet.path, line, f"{shown(cell)} is no date, as {shown(name)} has in training")


def check_numbers(sheet: Sheet, name: str) -> None:
    """Raise Refused for a cell that is no number or too large, and for a column with two decimal signs."""
    column = sheet.columns[name]
    if wrong := sheet.first(name, column.there & ~(abs(column.numbers) <= FLOAT32_MAX)):
        line, cell = wrong
        if not cells.is_number(cell):
            raise cells.faulty(sheet.path, line, f"{shown(cell)} is no number, as {shown(name)} has in training")
        wanted = f"wanted numbers up to {FLOAT32_MAX:g}"
        raise cells.faulty(sheet.path, line, f"{shown(name)}: {shown(cell)} is too large", wanted)
    cells.one_decimal_sign(sheet.path, name, column.values, sheet.lines[column.first])


def classes_of(sheet: Sheet, roles: Roles, task: str) -> tuple[str, ...]:
    """Return the names of the classes, or none if the target is a number: by ``task``, or by its kind if auto.

    Raises Refused.
    """
    column = column_of(sheet, roles.target)
    if empty := sheet.first(roles.target, ~column.there):
        hint = "fill it, or remove the row; rows to predict are a file of their own: dataset.test=FILE"
        raise cells.faulty(sheet.path, empty[0], f"no value of the target {shown(roles.target)}", hint)
    numeric = kind_of(column) == "number" and roles.target not in roles.categories
    if task == "regression" or (task == "auto" and numeric):
        if wrong := sheet.first(roles.target, np.isnan(column.numbers)):
            line, value = wrong
            what = f"{shown(value)} is no number, but the target {shown(roles.target)} of a regression is one"
            raise cells.faulty(sheet.path, line, what, "dataset.task=classification")
        return ()
    classes = sorted(column.values, key=by_number)
    if not 2 <= len(classes) <= MANY:
        found = f"{shown(roles.target)} has {counted(len(classes), 'different value')}"
        raise Refused(f"{sheet.path}: {found}, wanted 2 to {MANY:,} classes", "dataset.target=… names another column")
    return tuple(classes)


def by_number(name: str) -> tuple[float, str]:
    """Return the key that sorts classes: numbers by value, then others by their letters."""
    return (cells.as_number(name) if cells.is_number(name) else float("inf")), name


def targets_of(sheet: Sheet, roles: Roles, classes: Sequence[str]) -> Tensor:
    """Return the targets: numbers float32 [N, 1], or classes int64 [N]; raises Refused."""
    column = column_of(sheet, roles.target)
    if not classes:
        if wrong := sheet.first(roles.target, np.isnan(column.numbers)):
            line, value = wrong
            hint = "remove the column, if these rows are to be predicted"
            raise cells.faulty(sheet.path, line, f"{shown(value) or 'nothing'} is no {shown(roles.target)}", hint)
        check_numbers(sheet, roles.target)
        return torch.from_numpy(column.numbers[column.index]).float()[:, None]
    places = {name: place for place, name in enumerate(classes)}
    found = np.array([places.get(value, -1) for value in column.values])
    if wrong := sheet.first(roles.target, found < 0):
        line, value = wrong
        what = f"{shown(roles.target)} is {shown(value) or 'nothing'}, a class without a training row"
        raise cells.faulty(sheet.path, line, what, "remove the row, or the column if these rows are to be predicted")
    return torch.from_numpy(found[column.index])


def identifiers(sheet: Sheet, name: str | None) -> tuple[str, ...]:
    """Return the names of the rows: those of their column, or the lines of the file."""
    return tuple(column_of(sheet, name).cells) if name else tuple(map(str, sheet.lines.tolist()))


def group_in(sheet: Sheet, name: str | None) -> str | None:
    """Return the column of groups; raises Refused if the file does not have it."""
    if name is not None and name not in sheet.columns:
        have = f"have: {', '.join(map(shown, sheet.columns))}"
        raise Refused(f"{sheet.path}: validation.group={shown(name)}: no such column ({have})", "name one of them")
    return name


def identifier_in(sheet: Sheet, target: str) -> str | None:
    """Return the column that names the rows: the first that is called id, or ends so, with a value of its own each."""
    for name, column in sheet.columns.items():
        ends = name.lower() == "id" or name.endswith(("Id", "ID", "_id", "编号"))
        if ends and name != target and len(column.values) == len(column.index) and column.there.all():
            return name
    return None
