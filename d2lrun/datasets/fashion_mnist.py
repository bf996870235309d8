"""Fashion-MNIST (book 3.5): 60,000 + 10,000 grey images of clothing, 28 × 28, in ten classes.

With ``verify=false`` any four files of the same format replace it, such as your own data; their classes are "0", "1", …
up to the largest label, and the dataset has the name of its folder. C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d2lrun.datasets import idx
from d2lrun.datasets.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk.locate import Files, Found, Progress, Say, Unusable, candidates, locate, places_of, read
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset

CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
FILES = Files(
    dataset="fashion-mnist",
    sums={
        TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
    limit=64 << 20,  # the largest has 47,040,016 bytes
    layouts=("FashionMNIST/raw",),  # torchvision's
    system="/usr/share/datasets/fashion-mnist",
    package="dataset-fashion-mnist",
    other="give dataset.verify=false for images of your own in this form",
)
OWN_LIMIT = 4 << 30  # most bytes of one of the user's own files, against decompression bombs


def load(
    dir: str | None,
    verify: bool,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """Return the dataset on the CPU. Without ``verify``, the files come only from ``dir`` and may have any content.

    Raises Refused that names each file and its error.
    """
    found = locate(files, dir, mirrors, say, progress) if verify else own_files(files, dir)
    proved = all(file.sha256 == files.sums[name] for name, file in found.items())
    return idx.dataset("fashion-mnist", found, CLASSES if proved else None)


def form(config: Any) -> tuple[tuple[int, int, int], int] | None:
    """Return (C, H, W) and the number of classes of the verified images; None for the user's own: they must be read."""
    return idx.form(config) if config.verify else None


def own_files(files: Files, dir: str | None) -> dict[str, Found]:
    """Return the four files in the user's folder or a known layout below it, plain or packed, not verified.

    Raises Refused that names each missing or damaged file.
    """
    if not dir:
        raise Refused("dataset.verify=false needs dataset.dir", "give dataset.dir=FOLDER with the four IDX files")
    [folders] = places_of(files, dir).values()
    found: dict[str, Found] = {}
    missing, problems = [], []
    for name in files.sums:
        path = next(iter(candidates(name, folders)), None)
        if path is None:
            missing.append(name)
            continue
        try:
            found[name] = read(path, OWN_LIMIT, digest=None)
        except Unusable as problem:
            problems.append(f"{path}: {problem}")
    problems += [f"{dir}: no {name} or {name}.gz" for name in missing]
    if problems:
        message = "\n  ".join([f"dataset.dir={dir}: not four files that can be read", *problems])
        raise Refused(message, f"wanted in one folder: {', '.join(files.sums)}")
    return found
