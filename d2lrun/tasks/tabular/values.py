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

from d2lrun.disk.cells import Column, Sheet, names_of
from d2lrun.disk.given import array
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
    columns = {name: Column(values, missing) for name, values in cells_in(rows).items()}
    return Sheet(ROWS, columns, np.arange(1, len(next(iter(columns.values())).index) + 1), missing)


def is_table(rows: Any) -> bool:
    """Whether rows are a DataFrame or a dictionary of columns, which have names."""
    return isinstance(rows, Mapping) or hasattr(rows, "columns")


def cells_in(rows: Any) -> dict[str, list[str]]:
    """Return the columns of a DataFrame, a dictionary or an array [n, D] as cells of a CSV file; raises Refused.

    The columns are called as those of the file are (``names_of``); columns 0, 1, … as those of an array, x1, x2, …
    """
    if is_table(rows):
        given = list(getattr(rows, "columns", rows))
        names = names_of(ROWS, [f"x{name + 1}" if isinstance(name, int) else str(name) for name in given])
        columns = [rows[name] for name in given]
    else:
        matrix = array(rows, ROWS, KINDS)
        if matrix.ndim != 2:
            raise Refused(f"rows of the type {type(rows).__name__}, of the shape {list(matrix.shape)}", f"give {KINDS}")
        names, columns = [f"x{place}" for place in range(1, matrix.shape[1] + 1)], [*matrix.T]
    cells = {name: column_of(name, values) for name, values in zip(names, columns, strict=True)}
    lengths = sorted({len(values) for values in cells.values()})
    if len(lengths) != 1 or lengths == [0]:
        counts = ", ".join(map(str, lengths)) or "none"
        raise Refused(f"columns of different lengths, or without a row: {counts}", "give columns of the same length")
    return cells


def column_of(name: str, values: Any) -> list[str]:
    """Return the values of a column as cells; raises Refused."""
    try:
        return [cell_of(value) for value in (array(values, name, KINDS) if hasattr(values, "detach") else values)]
    except (TypeError, ValueError) as error:
        raise Refused(f"{ROWS}: {name}: {error}", "give finite numbers, texts or dates, and None if missing") from error


def cell_of(value: Any) -> str:
    """Return a value as the cell of a CSV file: nothing for a missing one, and whole numbers without a point.

    Raises ValueError for a number or bytes that no cell can hold.
    """
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, float) and math.isfinite(number):  # first, since most cells are such numbers
        return str(int(number)) if number.is_integer() else repr(number)
    if value is None or str(value) in ("NaT", "<NA>") or value != value:  # <NA> has no truth value
        return ""
    if isinstance(number, (float, complex, bytes)):
        raise ValueError(f"{number!r} is no finite number and no text")
    return value.isoformat() if isinstance(value, date) else str(number).strip()
