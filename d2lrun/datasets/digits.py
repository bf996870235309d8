"""Digits (Alpaydin and Kaynak 1998): 1,797 grey images, 8 × 8, which the package scikit-learn brings.

The last fifth of the rows, in the order of the file, is the test part: it is the same for everybody. N images.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Found, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset

PACKAGE, FILE = "sklearn", "digits.csv"
FILES = Files(
    dataset="digits",
    sums={FILE: "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"},
    limit=1 << 20,  # it has 264,712 bytes
    fetch=None,
    extra="digits",
)
SIDE, WHITE = 8, 16  # pixels of a side, and the value of a white pixel
CLASSES = tuple("0123456789")
TESTED = 5  # one of so many images is in the test part


def load(
    dir: str | None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """Return the dataset on the CPU; raises Refused."""
    found = locate(replace(files, system=folder()), dir, (), say, progress)[FILE]
    images, labels = parse(found)
    train = len(labels) - len(labels) // TESTED
    return ImageDataset(
        "digits",
        CLASSES,
        images[:train],
        labels[:train],
        images[train:],
        labels[train:],
        source=found.origin,
        contents=(Content(found.origin, found.sha256),),
    )


def folder() -> str | None:
    """Return the folder of the file in the installed package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    places: Sequence[str] | None = spec.submodule_search_locations if spec else None
    return str(Path(next(iter(places)), "datasets", "data")) if places else None


def parse(file: Found) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images uint8 [N, 1, 8, 8], from 0 to 255, and labels int64 [N]; raises Refused."""
    try:
        rows = np.array([line.split(",") for line in file.content.decode("ascii").splitlines()], dtype=np.int64)
        if rows.shape[1:] != (SIDE * SIDE + 1,) or rows.min() < 0 or rows.max() > WHITE or rows[:, -1].max() > 9:
            raise ValueError(f"{' × '.join(map(str, rows.shape))} numbers")
    except ValueError as error:
        raise Refused(f"{file.origin}: {error}", "wanted: rows of 64 pixels from 0 to 16 and a digit") from None
    pixels = (rows[:, :-1] * 255 + WHITE // 2) // WHITE  # [N, 64], rounded
    images = torch.from_numpy(pixels.astype(np.uint8)).view(-1, 1, SIDE, SIDE)
    return images, torch.from_numpy(rows[:, -1].copy())
