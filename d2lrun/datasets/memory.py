"""Data in memory as files that a run can read again: images as arrays, rows as CSV. N examples, D columns.

A file is named by its content, in the folder data/ of the outputs, so equal data are one file, and a run on them can be
resumed, evaluated and compared in any process.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from d2lrun.config.overrides import literal
from d2lrun.disk import files
from d2lrun.disk.content import fingerprint
from d2lrun.disk.given import array
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.values import cell_of, cells_in, is_table

PARTS = ("train", "val", "test")
WANTED = "(X, y), or {'train': (X, y), 'test': (X, y)}"
TARGET = "target"
TARGETS = "a number for each example, or a class: a whole number or a text"
SPECIAL = re.compile(r'[\t;|,"\r\n]')  # in cells that are written in quotes, also because of ``separator_of``


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
    if not isinstance(parts, Mapping):
        raise Refused(f"{name} of the type {type(data).__name__}", f"wanted {WANTED}")
    if "train" not in parts or not set(parts) <= set(PARTS):
        raise Refused(f"{name} with the parts {', '.join(map(str, parts)) or 'none'}", f"wanted {WANTED}")
    pairs = {part: pair_of(pair, f"{name}: {part}") for part, pair in parts.items()}
    images = not is_table(pairs["train"][0]) and pairs["train"][0].ndim > 2
    if images:
        return images_in(pairs, folder, name)
    title = getattr(parts["train"][1], "name", None)  # of a Series
    target = title.strip() if isinstance(title, str) else ""
    return rows_in(pairs, target or TARGET, folder, name)


def pair_of(pair: Any, what: str) -> tuple[Any, np.ndarray]:
    """Return inputs, an array if they are no table, and their targets [N]; raises Refused."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise Refused(f"{what}: wanted inputs and targets", f"wanted {WANTED}")
    inputs, targets = pair[0] if is_table(pair[0]) else array(pair[0], what, WANTED), targets_of(pair[1], what)
    try:
        count = len(next(iter(inputs.values()), ()) if isinstance(inputs, Mapping) else inputs)
    except TypeError as error:  # an iterator, a number, a table that is not computed yet
        raise Refused(f"{what}: no array: {error}", f"wanted {WANTED}") from error
    if count != len(targets):
        raise Refused(f"{what}: {count} inputs and {len(targets)} targets", f"wanted {WANTED}")
    return inputs, targets


def targets_of(values: Any, what: str) -> np.ndarray:
    """Return targets as truth values, numbers or texts [N], by the values and not by the type that holds them.

    Raises Refused.
    """
    found = array(values, what, TARGETS)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    found = np.array(found.tolist()) if found.dtype.kind in "OT" else found
    if found.ndim != 1 or found.dtype.kind not in "biufUO":
        raise Refused(f"{what}: targets of the type {found.dtype} and the shape {[*found.shape]}", f"give {TARGETS}")
    if found.dtype.kind == "O":
        known = np.array([isinstance(value, (int, float, str)) for value in found])
    else:
        known = np.isfinite(found) if found.dtype.kind == "f" else np.full(len(found), True)
    if not known.all():
        place = int(known.argmin())
        raise Refused(f"{what}: target {place + 1} is {found[place]!r}", f"leave the example out, or give {TARGETS}")
    return found


def images_in(parts: Mapping[str, Any], folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """Write images [N, H, W], [N, C, H, W] or [N, H, W, C] and their classes to a file of arrays; raises Refused."""
    for part, (images, _) in parts.items():
        if images.dtype.kind not in "biuf":
            raise Refused(f"{name}: {part}: images of the type {images.dtype}", "give numbers")
    kinds = ("images", "labels")
    arrays = {f"{part}_{kind}": each for part, pair in parts.items() for kind, each in zip(kinds, pair)}
    content = io.BytesIO()
    np.savez(content, **arrays)
    digits = fingerprint(*(each for key in sorted(arrays) for each in (key, arrays[key])))
    return "arrays", {"path": str(files.write_named(folder / f"{digits}.npz", content.getvalue()))}


def rows_in(parts: Mapping[str, Any], target: str, folder: Path, name: str) -> tuple[str, dict[str, str]]:
    """Write rows [N, D] and their targets to CSV files; whole numbers and texts are classes, others are numbers."""
    if "val" in parts:
        raise Refused(f"{name}: val: rows to validate are chosen from the training rows", "validation=holdout")
    files = {part: str(table(rows, targets, target, folder, name)) for part, (rows, targets) in parts.items()}
    kind = "regression" if parts["train"][1].dtype.kind == "f" else "classification"
    test = {"test": files["test"]} if "test" in files else {}
    return "csv", {"path": files["train"], **test, "target": target, "task": kind}


def table(rows: Any, targets: np.ndarray, target: str, folder: Path, name: str) -> Path:
    """Write one CSV file and return its path; raises Refused."""
    columns = cells_in(rows)
    if target in columns:
        raise Refused(f"{name}: {target} is a column and the target, too", "leave the column out of the inputs")
    lines = zip(*columns.values(), map(cell_of, targets.tolist()), strict=True)
    text = "".join(f"{','.join(map(quoted, row))}\n" for row in [[*columns, target], *lines])
    try:
        return files.write_named(folder / f"{fingerprint(text)}.csv", text.encode())
    except UnicodeEncodeError as error:
        raise Refused(f"{name}: a text that is no Unicode: {error}", "remove the surrogates from the texts") from error


def quoted(cell: str) -> str:
    """Return a cell of a CSV file, in quotes if it has a separator, a quote or a line end."""
    return '"' + cell.replace('"', '""') + '"' if SPECIAL.search(cell) else cell
