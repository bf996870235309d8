"""Data in memory as files that a run can read again: images as arrays, rows as CSV. N examples, D columns.

A file is named by its content, in the folder data/ of the outputs, so equal data are one file, and a run on them can be
resumed, evaluated and compared in any process.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2lrun.config.overrides import literal
from d2lrun.disk import files
from d2lrun.disk.content import fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.values import array, cell_of, cells_in

PARTS = ("train", "val", "test")
WANTED = "(X, y), or {'train': (X, y), 'test': (X, y)}"
TARGET = "target"


def words_for(data: Any, words: list[str], folder: Path) -> list[str]:
    """Write the data to files in a folder; return the overrides for them, and ``words``, which change them.

    Raises Refused.
    """
    if named := [word for word in words if word.startswith(("dataset=", "dataset.path=", "dataset.test="))]:
        raise Refused(f"{named[0]}: the data are given in memory", "leave out one of the two")
    dataset, keys = files_of(data, folder, "data")
    return [f"dataset={dataset}", *(f"dataset.{key}={literal(value)}" for key, value in keys.items()), *words]


def files_of(data: Any, folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """Write inputs and targets to files in a folder; return the dataset that reads them, and its keys.

    ``name`` is what messages call the data. Raises Refused.
    """
    parts = {"train": data} if isinstance(data, tuple) else data
    if not isinstance(parts, Mapping) or "train" not in parts or not set(parts) <= set(PARTS):
        raise Refused(f"{name} of the type {type(data).__name__}", f"wanted {WANTED}")
    try:
        for part, pair in parts.items():
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise Refused(f"{name}: {part}: wanted inputs and targets", f"wanted {WANTED}")
            if len(pair[0]) != len(pair[1]):
                raise Refused(f"{name}: {part}: {len(pair[0])} inputs and {len(pair[1])} targets", f"wanted {WANTED}")
        folder.mkdir(parents=True, exist_ok=True)
        images = not hasattr(parts["train"][0], "columns") and array(parts["train"][0]).ndim > 2
        return images_in(parts, folder) if images else rows_in(parts, folder, name)
    except (TypeError, ValueError, NotImplementedError) as error:  # no length, rows of different lengths, no memory
        raise Refused(f"{name}: no array: {error}", f"wanted {WANTED}") from error


def images_in(parts: Mapping[str, Any], folder: Path) -> tuple[str, dict[str, str]]:
    """Write images [N, H, W], [N, C, H, W] or [N, H, W, C] and their classes to a file of arrays."""
    kinds = ("images", "labels")
    arrays = {f"{part}_{kind}": array(each) for part, pair in parts.items() for kind, each in zip(kinds, pair)}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    name = fingerprint(*(each for key in sorted(arrays) for each in (key, arrays[key])))
    return "arrays", {"path": str(written(folder / f"{name}.npz", content.getvalue()))}


def rows_in(parts: Mapping[str, Any], folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """Write rows [N, D] and their targets to CSV files; whole numbers and texts are classes, others are numbers."""
    if "val" in parts:
        raise Refused(f"{name}: val: rows to validate are chosen from the training rows", "validation=holdout")
    target = str(getattr(parts["train"][1], "name", None) or TARGET)
    files = {part: str(table(rows, targets, target, folder, name)) for part, (rows, targets) in parts.items()}
    kind = "regression" if array(parts["train"][1]).dtype.kind == "f" else "classification"
    test = {"test": files["test"]} if "test" in files else {}
    return "csv", {"path": files["train"], **test, "target": target, "task": kind}


def table(rows: Any, targets: Any, target: str, folder: Path, name: str) -> Path:
    """Write one CSV file and return its path; raises Refused."""
    columns = cells_in(rows)
    if target in columns:
        raise Refused(f"{name}: {target} is a column and the target, too", "leave the column out of the inputs")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, target])
    writer.writerows(zip(*columns.values(), map(cell_of, array(targets).tolist()), strict=True))
    return written(folder / f"{fingerprint(text.getvalue())}.csv", text.getvalue().encode())


def written(path: Path, content: bytes) -> Path:
    """Write the file unless it is there."""
    if not path.exists():
        files.write_atomic(path, content)
    return path
