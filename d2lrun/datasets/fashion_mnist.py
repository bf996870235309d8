"""Fashion-MNIST (book 3.5): 60,000 + 10,000 grey images of clothing, 28 × 28, in ten classes.

With ``verify=false`` any four files of the same form take its place: one's own data, MNIST, KMNIST, …
N examples, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from d2lrun.datasets import idx
from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.locate import Files, Found, Progress, Say, Unusable, candidates, locate, read
from d2lrun.errors import Refused

SHAPE = (1, 28, 28)  # (C, H, W)
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
)
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
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
OWN_LIMIT = 4 << 30  # bytes of one file of the user's own, so that a decompression bomb ends


def load(
    dir: str | None,
    verify: bool,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """The dataset on the CPU. Without ``verify`` the files come from ``dir`` alone, whatever they hold.

    Raises Refused that names the file and its fault.
    """
    found = locate(files, dir, mirrors, say, progress) if verify else {name: own_file(dir, name) for name in files.sums}
    train_images, train_labels = examples(found[TRAIN_IMAGES], found[TRAIN_LABELS])
    test_images, test_labels = examples(found[TEST_IMAGES], found[TEST_LABELS])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise faulty(found[TEST_IMAGES], f"{size(test_images)}, but those for training are {size(train_images)}")
    source = ", ".join(dict.fromkeys(os.path.dirname(file.origin) for file in found.values()))
    return ImageDataset("fashion-mnist", CLASSES, train_images, train_labels, test_images, test_labels, source)


def own_file(dir: str | None, name: str) -> Found:
    """The file of that name in the user's folder, plain or packed, unproved."""
    if not dir:
        raise Refused("dataset.verify=false needs dataset.dir", "give dataset.dir=FOLDER with the four IDX files")
    paths = candidates(name, [Path(os.path.expanduser(dir))])
    if not paths:
        raise Refused(f"{dir}: no {name} or {name}.gz", f"wanted in one folder: {', '.join(FILES.sums)}")
    try:
        return read(paths[0], OWN_LIMIT, digest=None)
    except Unusable as problem:
        raise Refused(f"{paths[0]}: {problem}", "replace the file") from None


def examples(images: Found, labels: Found) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as uint8 [N, 1, H, W] and labels as int64 [N]; raises Refused if they do not fit together."""
    pixels, numbers = array(images, 3), array(labels, 1)
    if not pixels.size:
        raise faulty(images, f"no image ({' × '.join(map(str, pixels.shape))})")
    if len(pixels) != len(numbers):
        raise faulty(labels, f"{len(numbers):,} labels for the {len(pixels):,} images of {images.origin}")
    if numbers.max() >= len(CLASSES):
        at = int(np.argmax(numbers >= len(CLASSES)))
        raise faulty(labels, f"label {numbers[at]} at position {at}, wanted 0 to {len(CLASSES) - 1}")
    return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(numbers).long()  # [N, H, W] -> [N, 1, H, W]


def array(file: Found, dimensions: int) -> np.ndarray:
    try:
        return idx.parse(file.content, dimensions)
    except ValueError as error:
        raise faulty(file, str(error)) from None


def faulty(file: Found, what: str) -> Refused:
    return Refused(f"{file.origin}: {what}", "wanted: four IDX files that belong together; see dataset.dir")


def size(images: torch.Tensor) -> str:
    """The height and width of images, for people."""
    return f"images of {images.shape[-2]} × {images.shape[-1]}"
