"""Columns of a file as features: numbers and dates are standardised, and each category becomes a column of its own.

N rows, P numbers, Q columns of categories, D = P + Q features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.cells import Column

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


def kind_of(column: Column) -> str:
    """Return the kind of a column: number, date, category or text.

    Texts are categories if there are at most ``FEW`` different ones, or if there are at most ``MANY`` and each occurs
    ``REPEATED`` times on average. A column without a value is a number.
    """
    for kind, found in (("number", lambda: column.numbers), ("date", lambda: column.times)):
        if not np.isnan(found()[column.there]).any():
            return kind
    different, there = column.there.sum(), column.there[column.index].sum()
    return "category" if different <= FEW or there >= REPEATED * different <= REPEATED * MANY else "text"


def field_of(name: str, kind: str, columns: Sequence[Column]) -> Field:
    """Return a column of one or more files; its categories are in alphabetical order."""
    missing = sum(int((~column.there)[column.index].sum()) for column in columns)
    if kind != "category":
        return Field(name, int(kind != "text"), missing, kind)
    values = sorted({value for column in columns for value in compress(column.values, column.there)})
    return Field(name, len(values) + 1, missing, kind, tuple(values))


def encode(fields: Sequence[Field], *tables: Mapping[str, Column]) -> Encoded:
    """Return the rows of one table after the other: numbers and dates as numbers, each category as a column of its own.

    A category that a field does not have is in no column.
    """
    count = sum(len(next(iter(table.values())).index) for table in tables)
    numbers, categories = [np.empty((0, count))], [np.empty((0, count), dtype=bool)]
    for field in (field for field in fields if field.kind != "text"):
        columns = [table[field.name] for table in tables]
        if field.kind == "category":
            categories.append(np.concatenate([one_hot(field.values, column) for column in columns], axis=1))
        else:
            numbers.append(np.concatenate([amounts(field.kind, column) for column in columns])[None])
    return Encoded(np.concatenate(numbers).T, np.concatenate(categories).T, tuple(fields))


def one_hot(categories: Sequence[str], column: Column) -> np.ndarray:
    """Return a row for each category and, as in the book also if no value is missing, for missing: bool [C + 1, N]."""
    places, last = {name: place for place, name in enumerate(categories)}, len(categories)
    found = [places.get(value, last + 1) if there else last for value, there in zip(column.values, column.there)]
    return np.arange(last + 1)[:, None] == np.array(found)[column.index]


def amounts(kind: str, column: Column) -> np.ndarray:
    """Return numbers, or the days of dates since 1970: float64 [N], NaN if missing."""
    return (column.numbers if kind == "number" else column.times / DAY)[column.index]


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
    features = torch.empty(len(standard), sum(field.width for field in encoded.fields))  # [N, D]
    features[:, : standard.shape[1]] = torch.from_numpy(np.nan_to_num(standard, nan=0.0))
    features[:, standard.shape[1] :] = torch.from_numpy(encoded.categories & learned.known)
    return features
