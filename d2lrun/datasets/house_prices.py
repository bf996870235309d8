"""House prices in Ames, Iowa, 2006-2010 (book 4.10; Kaggle): 1,460 houses sold, 1,459 whose price is to be guessed.

The csv module of the standard library reads them: no table library is needed. N rows, P numbers, Q categories,
D = P + Q features.
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
    instead="give dataset=linear or dataset=polynomial, which are made and not read",
)
ID, TARGET = "Id", "SalePrice"
MISSING = ("NA", "")  # and nothing else: "None" is a value (of MasVnrType: no veneer), though pandas 2 reads it as none


@dataclass(frozen=True, eq=False)
class Encoded:
    """Training and test rows one below the other, as numbers, nothing of them standardised yet."""

    numbers: np.ndarray  # float64 [N, P], NaN where missing
    categories: np.ndarray  # bool [N, Q]: for each field its values, and last whether it is missing
    fields: tuple[Field, ...]


def load(
    dir: str | None,
    fit: str,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> TableDataset:
    """The dataset on the CPU, prepared by all its training rows (``fit`` train) or the test rows too (all).

    all is what the book does: a leak, for the rows that are held out then have a say in the mean and deviation
    that they are measured with. With train, ``fitted`` prepares it by the rows that train alone. Raises Refused.
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
    """The rows of a csv file by the names of their columns; raises Refused where they are not all of one length."""
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8"), newline="")))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or ID not in row:
            raise faulty(file, f"line {number} has not the columns of the first")
    return rows


def encode(rows: list[dict[str, str]]) -> Encoded:
    """The fields as numbers, or where one value is none as one column for each category, in alphabetical order."""
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
        categories += [[value == one for value in values] for one in known]
        categories.append([is_missing(value) for value in values])  # as in the book, where none is missing too
        fields[name] = Field(name, width=len(known) + 1, categories=len(known), missing=missing)
    return Encoded(np.array(numbers).T, np.array(categories, dtype=bool).T, tuple(fields.values()))


def is_missing(value: str | None) -> bool:
    return value is None or value in MISSING


def as_numbers(values: Sequence[str]) -> list[float] | None:
    """The values as numbers, NaN where missing; None where one of them is something else."""
    try:
        return [nan if is_missing(value) else float(value) for value in values]
    except ValueError:
        return None


def prepare(encoded: Encoded, train: int, index: Tensor) -> tuple[Tensor, Tensor]:
    """Features float32 [·, D] of the first ``train`` rows and of the others, prepared by the rows ``index`` alone.

    A number becomes (x - mean) / deviation, 0 where it is missing; the deviation is that of a sample, as in the
    book. A category that none of these rows has is 0 everywhere: its weight would never be trained.
    """
    chosen = encoded.numbers[index.numpy()]  # [n, P]
    there = (~np.isnan(chosen)).sum(axis=0)  # [P]
    mean = np.nansum(chosen, axis=0) / there.clip(1)
    deviation = np.sqrt(np.nansum((chosen - mean) ** 2, axis=0) / (there - 1).clip(1))
    constant = deviation == 0  # or unknown: nothing is learned of it
    standard = np.where(constant, 0.0, (encoded.numbers - mean) / np.where(constant, 1.0, deviation))
    known = encoded.categories[index.numpy()].any(axis=0)  # [Q]
    features = np.concatenate((np.nan_to_num(standard, nan=0.0), encoded.categories & known), axis=1)  # [N, D]
    both = torch.from_numpy(features).float()
    return both[:train], both[train:]


def faulty(file: Found, what: str) -> Refused:
    return Refused(f"{file.origin}: {what}", "wanted: Kaggle's train.csv and test.csv of house prices")
