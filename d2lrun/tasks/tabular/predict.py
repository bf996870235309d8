"""Predict the targets of rows: of a dataset, or of any other file with its columns. N rows, D features, K classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from math import sqrt
from pathlib import Path
from statistics import fmean

import numpy as np
from torch import Tensor, nn

from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.disk.cells import Sheet, shown
from d2lrun.report.text import measured
from d2lrun.tasks.tabular.build import NAMED, by_number, check_cells, column_of, identifiers
from d2lrun.tasks.tabular.encoding import encode, features_of, seen
from d2lrun.tasks.tabular.record import Recorded
from d2lrun.tasks.tabular.table import Scale, TableDataset
from d2lrun.training.evaluate import over_batches


@dataclass(frozen=True, eq=False)
class Answers:
    """The predictions for N rows: numbers [N], or classes [N] with their probabilities [N, K]."""

    values: Tensor
    classes: Sequence[str] = ()
    probabilities: Tensor | None = None
    digits: str = ".7g"  # format of a number

    @property
    def texts(self) -> list[str]:
        """The predictions as they are written to a file."""
        if self.classes:
            return [self.classes[place] for place in self.values.tolist()]
        return [f"{value:{self.digits}}" for value in self.values.tolist()]


def predictions(model: nn.Module, features: Tensor, size: int, scale: Scale | None = None) -> Tensor:
    """Return the predicted numbers [N] for rows [N, D] in batches of ``size``, on the CPU."""
    found = over_batches(model, features.split(size))[:, 0].cpu()
    return found if scale is None else found * scale.deviation + scale.mean


def answers(model: nn.Module, features: Tensor, size: int, data: TableDataset | Recorded) -> Answers:
    """Return the predictions for rows [N, D].

    If the target is ``logarithmic``, predictions below 1 become 1, as in the error of the logarithms.
    """
    if data.classes:
        probabilities = over_batches(model, features.split(size)).softmax(dim=1).cpu()
        return Answers(probabilities.argmax(dim=1), data.classes, probabilities)
    found = predictions(model, features, size, data.scale)
    return Answers(found.clamp(min=1), digits=".2f") if data.logarithmic else Answers(found)


def confusion(true: Tensor, predicted: Tensor, count: int) -> Tensor:
    """Return how often each class [N] is predicted as which, [true, predicted]."""
    return (true * count + predicted).bincount(minlength=count * count).view(count, count)


def write_submission(path: Path, model: nn.Module, data: TableDataset, size: int) -> Answers:
    """Write a csv in Kaggle's format, the name and the prediction of each test row, and return the predictions."""
    found = answers(model, data.test_features, size, data)
    write_csv(path, (data.identifier or "line", data.target), zip(data.test_ids, found.texts, strict=True))
    return found


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows as csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    files.write_atomic(path, text.getvalue())


@dataclass(frozen=True, eq=False)
class Filled:
    """The predictions for the rows of another file."""

    sheet: Sheet
    known: Recorded
    found: Answers

    @property
    def named(self) -> str | None:
        """The column with the names of the rows, if the file has it."""
        return self.known.identifier if self.known.identifier in self.sheet.columns else None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the rows, or else their lines."""
        return identifiers(self.sheet, self.named)

    @property
    def measured(self) -> str:
        """How right the predictions are, in words, for the rows whose target is in the file; empty without any."""
        column = self.sheet.columns.get(self.known.target)
        if column is None or not column.there.any():
            return ""
        rows = column.there[column.index]
        of = f"of {counted(int(rows.sum()), 'row')} with {shown(self.known.target)}"
        if self.known.classes:
            pairs = zip(column.cells, self.found.texts, rows)
            right = sum(cell == text for cell, text, there in pairs if there)
            return f"accuracy {right / rows.sum():.4f}: {right:,} {of} right"
        errors = self.found.values.numpy() - column.numbers[column.index]
        known = errors[~np.isnan(column.numbers[column.index])].tolist()
        return f"rmse {measured(sqrt(fmean(error**2 for error in known)))} {of}" if known else ""

    def write(self, path: Path) -> None:
        """Write the name, the prediction and, of a class, the probability of each row, in the order of the file."""
        columns = [self.names, self.found.texts]
        head = [self.named or "line", self.known.target]
        if self.found.probabilities is not None:
            columns.append([f"{value:.6f}" for value in self.found.probabilities.amax(dim=1).tolist()])
            head.append("probability")
        write_csv(path, head, zip(*columns, strict=True))


def features_of_file(sheet: Sheet, known: Recorded) -> tuple[Tensor, list[str]]:
    """Return the features [N, D] of the rows of another file, and remarks; raises Refused for a missing column."""
    kinds = {field.name: field.kind for field in known.fields if field.kind != "text"}
    rows = {name: column_of(sheet, name) for name in kinds}
    check_cells(sheet, kinds)
    return features_of(encode(known.fields, rows), known.learned), list(remarks(sheet, known))


def remarks(sheet: Sheet, known: Recorded) -> Iterator[str]:
    """Yield a line for columns that are not used, and for categories that no training row had."""
    names = {field.name for field in known.fields} | {known.target, known.identifier}
    if more := [name for name in sheet.columns if name not in names]:
        yield f"not used, since training did not use it: {', '.join(map(shown, more))}"
    for name, there in seen(known.fields, known.learned).items():
        column = sheet.columns[name]
        new = column.there & [value not in there for value in column.values]
        if new.any():
            which = ", ".join(map(shown, sorted(compress(column.values, new), key=by_number)[:NAMED]))
            rows = counted(int(new[column.index].sum()), "row")
            yield f"{shown(name)}: {rows} with a category that no training row had: {which}"
    if sheet.skipped:
        yield f"{counted(sheet.skipped, 'row')} without a value skipped"
