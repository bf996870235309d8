"""``predict`` from Python. n rows, K classes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import date
from typing import Any

from torch import Tensor

from d2lrun.disk.cells import Sheet
from d2lrun.errors import Refused
from d2lrun.tasks import Classes, Question
from d2lrun.tasks.tabular.predict import Answers, answers
from d2lrun.tasks.tabular.words import filled_rows, rows_without_targets, sheet_of_file

KINDS = "a CSV file, a DataFrame, or a dictionary of columns"
ROWS = "the rows"  # stands for the file in messages


def predict(question: Question, rows: Any) -> Classes | Tensor:
    """Return the classes, or the numbers float32 [n], of rows, or else of the test rows; raises Refused."""
    if rows is None:
        data, model = rows_without_targets(question)
        return value_of(answers(model, data.test_features, question.config.train.batch_size, data))

    def read() -> Sheet:
        return sheet_of_file(question, os.fspath(rows)) if isinstance(rows, (str, os.PathLike)) else sheet_of(rows)

    return value_of(filled_rows(question, read)[0].found)


def value_of(found: Answers) -> Classes | Tensor:
    """Return predictions as a value for Python."""
    if found.probabilities is None:
        return found.values
    return Classes.of(found.probabilities, tuple(found.classes))


def sheet_of(rows: Any) -> Sheet:
    """Return a DataFrame, or a dictionary of columns, as the columns of a file; raises Refused."""
    columns = dict(rows) if isinstance(rows, Mapping) or hasattr(rows, "columns") else None
    if not columns:
        raise Refused(f"rows of the type {type(rows).__name__}", f"give {KINDS}")
    cells = {str(name): [cell_of(value) for value in values] for name, values in columns.items()}
    counts = {len(values) for values in cells.values()}
    if len(counts) > 1 or counts == {0}:
        lengths = ", ".join(map(str, sorted(counts)))
        raise Refused(f"columns of different lengths, or without a row: {lengths}", "give columns of the same length")
    return Sheet(ROWS, cells, list(range(1, counts.pop() + 1)))


def cell_of(value: Any) -> str:
    """Return a value as the cell of a CSV file: nothing for a missing one, and whole numbers without a point."""
    if value is None or value != value or str(value) in ("NaT", "<NA>"):
        return ""
    if isinstance(value, date):
        return value.isoformat()
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and math.isfinite(number):
        return str(int(number)) if number.is_integer() else repr(number)
    return str(number).strip()
