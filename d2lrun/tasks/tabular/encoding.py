"""Columns of a file as features: numbers and dates are standardised, and each category becomes a column of its own.

N rows, P numbers, Q columns of categories, D = P + Q features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk import cells

FEW, MANY = 10, 1000  # so many different texts are always categories, and more never are
REPEATED = 2  # times that the texts of a column occur on average, if they are categories
DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Field:
    """A column of the file, or a generated one."""

    name: str
    width: int = 1  # number of features that the column becomes
    missing: int = 0  # missing values in training and test rows together
    kind: str = "number"  # number, date, category or text; a text is ignored
    values: tuple[str, ...] = ()  # the categories


@dataclass(frozen=True, eq=False)
class Encoded:
    """Rows as numbers, not yet standardised."""

    numbers: np.ndarray  # float64 [N, P], NaN where missing
    categories: np.ndarray  # bool [N, Q]: for each field a column per value, and a last one for missing
    fields: tuple[Field, ...]


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is learned from the rows that train."""

    mean: np.ndarray  # float64 [P]
    deviation: np.ndarray  # float64 [P]; 0 if the column is constant, or has at most one value
    known: np.ndarray  # bool [Q]: the categories that occur


def kind_of(values: Sequence[str], missing: Sequence[str]) -> str:
    """Return the kind of a column: number, date, category or text.

    Texts are categories if there are at most ``FEW`` different ones, or if there are at most ``MANY`` and each occurs
    ``REPEATED`` times on average. A column without a value is a number. Cells in ``missing`` have no value.
    """
    there = [value for value in values if not absent(value, missing)]
    different = set(there)
    if all(map(cells.is_number, different)):
        return "number"
    if all(cells.as_time(value) is not None for value in different):
        return "date"
    return "category" if len(different) <= FEW or len(there) >= REPEATED * len(different) <= REPEATED * MANY else "text"


def encode(columns: Mapping[str, Sequence[str]], missing: Sequence[str], kinds: Mapping[str, str]) -> Encoded:
    """Return numbers and dates as numbers, and each category as a column of its own, in alphabetical order.

    ``kinds`` has the kind of each column, and may have those of others.
    """
    fields = []
    for name, values in columns.items():
        field = Field(name, missing=sum(absent(value, missing) for value in values), kind=kinds[name])
        if field.kind == "category":
            known = tuple(sorted({value for value in values if not absent(value, missing)}))
            field = replace(field, width=len(known) + 1, values=known)
        fields.append(replace(field, width=0) if field.kind == "text" else field)
    return encode_as(fields, columns, missing)


def encode_as(fields: Sequence[Field], columns: Mapping[str, Sequence[str]], missing: Sequence[str]) -> Encoded:
    """Return the columns of these fields as numbers; a category that a field does not have is in no column."""
    count = len(next(iter(columns.values()), ()))
    numbers, categories = [np.empty((0, count))], [np.empty((0, count), dtype=bool)]
    for field in fields:
        if field.kind == "category":
            categories.append(one_hot(field.values, columns[field.name], missing))
        elif field.kind != "text":
            read = number_of if field.kind == "number" else day_of
            values = [nan if absent(cell, missing) else read(cell) for cell in columns[field.name]]
            numbers.append(np.array([values]))
    return Encoded(np.concatenate(numbers).T, np.concatenate(categories).T, tuple(fields))


def one_hot(categories: Sequence[str], values: Sequence[str], missing: Sequence[str]) -> np.ndarray:
    """Return a row for each category and, as in the book also if no value is missing, for missing: bool [C + 1, N]."""
    places = {name: place for place, name in enumerate(categories)}
    last = len(categories)
    found = np.array([places.get(value, last if absent(value, missing) else last + 1) for value in values])  # [N]
    return np.arange(last + 1)[:, None] == found


def absent(cell: str, missing: Sequence[str]) -> bool:
    """Whether a cell has no value."""
    return cell.lower() in missing


def number_of(cell: str) -> float:
    """Return the number of a cell."""
    return cells.as_number(cell)


def day_of(cell: str) -> float:
    """Return the days of a date since 1970."""
    return (cells.as_time(cell) or 0.0) / DAY


def learn(encoded: Encoded, index: Tensor) -> Statistics:
    """Return the mean and sample standard deviation of the numbers of the rows ``index`` [n], and their categories."""
    chosen = encoded.numbers[index.numpy()]  # [n, P]
    there = (~np.isnan(chosen)).sum(axis=0)  # [P]
    mean = np.nansum(chosen, axis=0) / there.clip(1)
    deviation = np.sqrt(np.nansum((chosen - mean) ** 2, axis=0) / (there - 1).clip(1))
    return Statistics(mean, deviation, encoded.categories[index.numpy()].any(axis=0))


def seen(fields: Sequence[Field], learned: Statistics) -> dict[str, set[str]]:
    """Return for each column of categories those that occur in the rows that train."""
    known = iter(learned.known.tolist())
    there = {field.name: [next(known) for _ in range(field.width)] for field in fields if field.kind == "category"}
    values = {field.name: field.values for field in fields}
    return {name: {value for value, is_there in zip(values[name], each) if is_there} for name, each in there.items()}


def features_of(encoded: Encoded, learned: Statistics) -> Tensor:
    """Return the features float32 [N, D].

    A number becomes (x - mean) / sample standard deviation, as in the book, and 0 if it is missing or constant in the
    rows that train. A category that does not occur in these rows is 0 everywhere: its weight would never be trained.
    """
    constant = learned.deviation == 0  # or unknown: the model learns nothing from it
    standard = np.where(constant, 0.0, (encoded.numbers - learned.mean) / np.where(constant, 1.0, learned.deviation))
    features = np.concatenate((np.nan_to_num(standard, nan=0.0), encoded.categories & learned.known), axis=1)  # [N, D]
    return torch.from_numpy(features).float()
