"""Data in memory as files that a run can read again: images as arrays, rows as CSV. N examples, D columns.

A file is named by its content, in the folder data/ of the outputs, so equal data are one file, and a run on them can be
resumed, evaluated and compared in any process.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2lrun.config.compose import parse_override
from d2lrun.config.overrides import literal
from d2lrun.disk import files
from d2lrun.disk.content import fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.values import array, cell_of, cells_in

PARTS = ("train", "val", "test")
WANTED = "data=(X, y), or data={'train': (X, y), 'test': (X, y)}"
TARGET = "target"


def words_for(data: Any, words: list[str]) -> list[str]:
    """Write the data to files; return the overrides for them, before ``words``, which change them. Raises Refused."""
    if named := [word for word in words if word.startswith(("dataset=", "dataset.path=", "dataset.test="))]:
        raise Refused(f"{named[0]}: the data are given in memory", "leave out one of the two")
    parts = {"train": data} if isinstance(data, tuple) else data
    if not isinstance(parts, Mapping) or "train" not in parts or not set(parts) <= set(PARTS):
        raise Refused(f"data of the type {type(data).__name__}", f"give {WANTED}")
    for name, part in parts.items():
        if not isinstance(part, tuple) or len(part) != 2 or len(part[0]) != len(part[1]):
            raise Refused(f"data: {name}: wanted inputs and one target for each of them", f"give {WANTED}")
    folder = root(words) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    images = not hasattr(parts["train"][0], "columns") and array(parts["train"][0]).ndim > 2
    return [*(images_in if images else rows_in)(parts, folder), *words]


def root(words: list[str]) -> Path:
    """Return the folder of the outputs that the overrides name."""
    named = [str(parse_override(word).value()) for word in words if word.startswith("run.root=")]
    return Path([*([] if named else ["outputs"]), *named][-1]).expanduser()


def images_in(parts: Mapping[str, Any], folder: Path) -> list[str]:
    """Write images [N, H, W], [N, C, H, W] or [N, H, W, C] and their classes to a file of arrays."""
    kinds = ("images", "labels")
    arrays = {f"{part}_{kind}": array(each) for part, pair in parts.items() for kind, each in zip(kinds, pair)}
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    name = fingerprint(*(each for key in sorted(arrays) for each in (key, arrays[key])))
    path = written(folder / f"{name}.npz", lambda: content.getvalue())
    return ["dataset=arrays", f"dataset.path={literal(str(path))}"]


def rows_in(parts: Mapping[str, Any], folder: Path) -> list[str]:
    """Write rows [N, D] and their targets to CSV files; whole numbers and texts are classes, others are numbers."""
    if "val" in parts:
        raise Refused("data: val: rows to validate are chosen from the training rows", "validation=holdout")
    name = str(getattr(parts["train"][1], "name", None) or TARGET)
    paths = {part: table(rows, targets, name, folder) for part, (rows, targets) in parts.items()}
    kind = "regression" if array(parts["train"][1]).dtype.kind == "f" else "classification"
    test = [f"dataset.test={literal(str(paths['test']))}"] if "test" in paths else []
    train = f"dataset.path={literal(str(paths['train']))}"
    return ["dataset=csv", train, *test, f"dataset.target={literal(name)}", f"dataset.task={kind}"]


def table(rows: Any, targets: Any, name: str, folder: Path) -> Path:
    """Write one CSV file and return its path; raises Refused."""
    columns = cells_in(rows)
    if name in columns:
        raise Refused(f"data: {name} is a column and the target, too", "leave the column out of the inputs")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, name])
    writer.writerows(zip(*columns.values(), map(cell_of, array(targets).tolist()), strict=True))
    content = text.getvalue().encode()
    return written(folder / f"{fingerprint(text.getvalue())}.csv", lambda: content)


def written(path: Path, content: Callable[[], bytes]) -> Path:
    """Write the file unless it is there."""
    if not path.exists():
        files.write_atomic(path, content())
    return path
