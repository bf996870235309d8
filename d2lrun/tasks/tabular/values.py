"""``predict`` from Python. n rows, K classes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from d2lrun.disk.cells import Column, Sheet
from d2lrun.errors import Refused
from d2lrun.tasks import Classes, Question
from d2lrun.tasks.tabular.predict import Answers, answers
from d2lrun.tasks.tabular.words import filled_rows, sheet_of_file

KINDS = "a CSV file, a DataFrame, a dictionary of columns, or an array [n, D]"
ROWS = "the rows"  # stands for the file in messages


def predict(question: Question, rows: Any) -> Classes | Tensor:
    """Return the classes, or the numbers float32 [n], of rows, or else of the test rows; raises Refused."""
    if rows is None:
        config = question.config
        data, model = question.load()
        if not len(data.test_features):
            raise Refused(f"{data.name} has no test rows", f"give {KINDS}")
        data = data.split(config.validation, config.seed).train.data  # prepared as in training
        return value_of(answers(model, data.test_features, config.train.batch_size, data))
    is_file = isinstance(rows, (str, os.PathLike))
    read = partial(sheet_of_file, question, os.fspath(rows)) if is_file else partial(sheet_of, rows)
    return value_of(filled_rows(question, read)[0].found)


def value_of(found: Answers) -> Classes | Tensor:
    """Return predictions as a value for Python."""
    if found.probabilities is None:
        return found.values
    return Classes.of(found.probabilities, tuple(found.classes))


def sheet_of(rows: Any, missing: tuple[str, ...]) -> Sheet:
    """Return rows in memory as the columns of a file; raises Refused."""
    cells = cells_in(rows)
    lengths = sorted({len(values) for values in cells.values()})
    if len(lengths) != 1 or lengths == [0]:
        given = ", ".join(map(str, lengths)) or "none"
        raise Refused(f"columns of different lengths, or without a row: {given}", "give columns of the same length")
    columns = {name: Column(values, missing) for name, values in cells.items()}
    return Sheet(ROWS, columns, np.arange(1, lengths[0] + 1), missing)


def cells_in(rows: Any) -> dict[str, list[str]]:
    """Return the columns of a DataFrame, a dictionary or an array [n, D] as cells of a CSV file; raises Refused.

    The columns of an array are called x1, x2, and so on.
    """
    if isinstance(rows, Mapping) or hasattr(rows, "columns"):
        columns = {str(name): rows[name] for name in getattr(rows, "columns", rows)}
    else:
        matrix = array(rows)
        if matrix.ndim != 2:
            raise Refused(f"rows of the type {type(rows).__name__}, of the shape {list(matrix.shape)}", f"give {KINDS}")
        columns = {f"x{place}": matrix[:, place - 1] for place in range(1, matrix.shape[1] + 1)}
    return {name: [cell_of(value) for value in values] for name, values in columns.items()}


def array(values: Any) -> np.ndarray:
    """Return an array, a tensor on any device, a list, or a column of a DataFrame, as an array."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def cell_of(value: Any) -> str:
    """Return a value as the cell of a CSV file: nothing for a missing one, and whole numbers without a point."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and math.isfinite(number):  # first, since most cells are such numbers
        return str(int(number)) if number.is_integer() else repr(number)
    if value is None or str(value) in ("NaT", "<NA>") or value != value:  # <NA> has no truth value
        return ""
    return value.isoformat() if isinstance(value, date) else str(number).strip()
