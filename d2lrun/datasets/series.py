"""The user's own series: a column of numbers of one or several CSV files, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.datasets.column import Column, read_column
from d2lrun.disk import texts
from d2lrun.disk.cells import faulty
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Found, Progress, Say
from d2lrun.errors import Refused
from d2lrun.tasks.forecasting.series import SeriesDataset


def load(
    path: Sequence[str],
    encoding: str,
    column: str | None,
    time: str | None,
    test_fraction: float,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> SeriesDataset:
    """Return the dataset on the CPU; the last ``test_fraction`` of the values test. Raises Refused."""
    if not path:
        raise Refused("dataset=series needs dataset.path", "give dataset.path=FILE or 'dataset.path=[FILE,FILE]'")
    found = texts.read_files("series", path, encoding)
    columns = read_columns(found, encoding, column, time)
    values = torch.from_numpy(np.concatenate([each.values for each in columns]))
    if len(values) < 2:
        raise Refused(f"{texts.names(found)}: 1 value, wanted at least 2: to train and to test", "give a longer series")
    test = min(max(round(len(values) * test_fraction), 1), len(values) - 1)

    def read(path: str) -> Tensor:
        (each,) = read_columns(texts.read_files("series", [path], encoding), encoding, column, time)
        return torch.from_numpy(each.values)

    return SeriesDataset(
        "series",
        values,
        len(values) - test,
        source=texts.names(found),
        column=columns[0].name,
        remarks=tuple(f"{file.origin}: {note}" for file, each in zip(found, columns) for note in each.remarks),
        contents=tuple(Content(file.origin, file.sha256) for file in found),
        read=read,
    )


def read_columns(found: Sequence[Found], encoding: str, column: str | None, time: str | None) -> list[Column]:
    """Return the column of each file; raises Refused if a file has another column or begins before the last ends."""
    columns = [
        read_column(file.origin, texts.decode(file.origin, file.content, encoding), column, time) for file in found
    ]
    for (before, earlier), (file, later) in pairwise(zip(found, columns)):
        if later.name != earlier.name:
            raise faulty(file.origin, 1, f"the column is {later.name}, that of {before.origin} is {earlier.name}")
        if later.times and earlier.times and not earlier.times[-1] < later.times[0]:
            raise faulty(file.origin, 1, f"it begins before the end of {before.origin}", "name the files in time order")
    return columns


def form(config: Any) -> tuple[tuple[int], int]:
    """Return the shape of a window, and the number of outputs; no file is read."""
    return (config.tau,), 1
