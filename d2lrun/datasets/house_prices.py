"""House prices in Ames, Iowa, 2006-2010 (book 4.10; Kaggle): 1,460 training rows, 1,459 test rows without a price.

The csv module of the standard library reads the files. N rows, P numbers, Q categories, D = P + Q features.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import nan

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Found, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.regression.table import Field, TableDataset

TRAIN, TEST = "kaggle_house_pred_train.csv", "kaggle_house_pred_test.csv"
FILES = Files(
    dataset="house-prices",
    sums={
        TRAIN: "1e18addf81e5e4d347cc17ee6075bbe4a42b7fa26b9e5b063e8f692a5f929d41",
        TEST: "8fdd3d829d4d986b58f845c9553b225e67dd8383624d90fb6ca1d4bed5798c1e",
    },
    limit=4 << 20,  # the larger has 460,676 bytes
    layouts=("house-prices-advanced-regression-techniques",),  # Kaggle's
    also={TRAIN: ("train.csv",), TEST: ("test.csv",)},  # Kaggle's
    suffix="",
    fetch="d2lrun data dataset=house-prices",
    instead="give dataset=linear or dataset=polynomial, which need no files",
)
ID, TARGET = "Id", "SalePrice"
MISSING = ("NA", "")  # not "None": it is a value (MasVnrType: no veneer), although pandas 2 reads it as missing


@dataclass(frozen=True, eq=False)
class Encoded:
    """Training rows and then test rows as numbers, not yet standardised."""

    numbers: np.ndarray  # float64 [N, P], NaN where missing
    categories: np.ndarray  # bool [N, Q]: for each field a column per value, and a last one for missing
    fields: tuple[Field, ...]


def load(
    dir: str | None,
    fit: str,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> TableDataset:
    """Return the dataset on the CPU, standardised with its training rows (``fit`` train) or with all rows (all).

    The book uses all rows. This is a leak: the held-out rows change the mean and deviation that standardise them.
    With train, ``fitted`` uses only the rows that train. Raises Refused.
    """
    found = locate(files, dir, mirrors, say, progress)
    train, test = (read(found[name]) for name in (TRAIN, TEST))
    prices = [row.pop(TARGET, "") for row in train]
    if not train or not test or train[0].keys() != test[0].keys() or any(map(is_missing, prices)):
        raise faulty(found[TRAIN], f"wanted the columns of {found[TEST].origin}, and {TARGET}")
    targets = torch.tensor([float(price) for price in prices])[:, None]  # [N, 1]
    ids = tuple(row.pop(ID) for row in train + test)[len(train) :]
    encoded = encode(train + test)
    everywhere = torch.arange(len(train) + len(test))
    features = prepare(encoded, len(train), everywhere if fit == "all" else everywhere[: len(train)])
    return TableDataset(
        "house-prices",
        *(features[0], targets, features[1], None),
        source=", ".join(file.origin for file in found.values()),
        fields=encoded.fields,
        target=TARGET,
        logarithmic=True,
        prepare=None if fit == "all" else partial(prepare, encoded, len(train)),
        test_ids=ids,
        contents=tuple(Content(file.origin, file.sha256) for file in found.values()),
        pools={"train": found[TRAIN].sha256, "test": found[TEST].sha256},
    )


def read(file: Found) -> list[dict[str, str]]:
    """Read the rows of a csv file as {column: value}; raises Refused if they do not all have the same length."""
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8"), newline="")))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or ID not in row:
            raise faulty(file, f"line {number} does not have the columns of the first")
    return rows


def encode(rows: list[dict[str, str]]) -> Encoded:
    """Return fields of numbers as numbers, and all other fields as one column per category, in alphabetical order."""
    numbers, categories, fields = [], [], {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        missing = sum(map(is_missing, values))
        column = as_numbers(values)
        if column is not None:
            numbers.append(column)
            fields[name] = Field(name, missing=missing)
            continue
        known = sorted({value for value in values if not is_missing(value)})
        categories += [[value == category for value in values] for category in known]
        categories.append([is_missing(value) for value in values])  # as in the book, also if no value is missing
        fields[name] = Field(name, width=len(known) + 1, categories=len(known), missing=missing)
    return Encoded(np.array(numbers).T, np.array(categories, dtype=bool).T, tuple(fields.values()))


def is_missing(value: str | None) -> bool:
    """Whether a field has no value."""
    return value is None or value in MISSING


def as_numbers(values: Sequence[str]) -> list[float] | None:
    """Return the values as numbers, NaN if missing; None if a value is not a number."""
    try:
        return [nan if is_missing(value) else float(value) for value in values]
    except ValueError:
        return None


def prepare(encoded: Encoded, train: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return features float32 [·, D] of the first ``train`` rows and of the others, fitted on the rows ``index`` only.

    A number becomes (x - mean) / sample standard deviation, as in the book, and 0 if it is missing. A category that
    does not occur in these rows is 0 everywhere, since its weight would never be trained.
    """
    chosen = encoded.numbers[index.numpy()]  # [n, P]
    there = (~np.isnan(chosen)).sum(axis=0)  # [P]
    mean = np.nansum(chosen, axis=0) / there.clip(1)
    deviation = np.sqrt(np.nansum((chosen - mean) ** 2, axis=0) / (there - 1).clip(1))
    constant = deviation == 0  # or unknown: the model learns nothing from it
    standard = np.where(constant, 0.0, (encoded.numbers - mean) / np.where(constant, 1.0, deviation))
    known = encoded.categories[index.numpy()].any(axis=0)  # [Q]
    features = np.concatenate((np.nan_to_num(standard, nan=0.0), encoded.categories & known), axis=1)  # [N, D]
    both = torch.from_numpy(features).float()
    return both[:train], both[train:]


def faulty(file: Found, what: str) -> Refused:
    """Return the Refused for an invalid file."""
    return Refused(f"{file.origin}: {what}", "wanted: Kaggle's train.csv and test.csv of house prices")
