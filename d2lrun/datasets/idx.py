"""The IDX format of MNIST and similar datasets: a magic number, the sizes as big-endian int32, then the numbers.

Such a dataset has four files: images and labels to train and to test. N examples, H height, W width.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from d2lrun.counts import counted
from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.locate import Found
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
SIDE, CLASSES = 28, 10  # pixels of a side, and classes, of MNIST and what replaces it
UNSIGNED_BYTE = 8  # the code for the type of the numbers


def dataset(name: str, found: Mapping[str, Found], classes: Sequence[str] | None = None) -> ImageDataset:
    """Return the dataset of the four files ``found``, on the CPU; without ``classes``, their names are numbers.

    Raises Refused if a file is invalid, or if the files do not belong together.
    """
    train_images, train_labels = examples(found[TRAIN_IMAGES], found[TRAIN_LABELS])
    test_images, test_labels = examples(found[TEST_IMAGES], found[TEST_LABELS])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise faulty(found[TEST_IMAGES], f"{size(test_images)}, but those for training are {size(train_images)}")
    pools = {
        "train": fingerprint(found[TRAIN_IMAGES].sha256, found[TRAIN_LABELS].sha256),
        "test": fingerprint(found[TEST_IMAGES].sha256, found[TEST_LABELS].sha256),
    }
    return ImageDataset(
        name,
        tuple(classes) if classes else numbered(train_labels, test_labels),
        train_images,
        train_labels,
        test_images,
        test_labels,
        source=", ".join(dict.fromkeys(os.path.dirname(file.origin) for file in found.values())),
        contents=tuple(Content(file.origin, file.sha256) for file in found.values()),
        pools=pools,
    )


def form(config: Any) -> tuple[tuple[int, int, int], int]:
    """Return (C, H, W) and the number of classes of verified files, which need not be read for it."""
    return (config.channels, config.resize or SIDE, config.resize or SIDE), CLASSES


def numbered(*labels: torch.Tensor) -> tuple[str, ...]:
    """Return the class names "0", "1", … up to the largest label."""
    return tuple(map(str, range(1 + max(int(each.max()) for each in labels))))


def examples(images: Found, labels: Found) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images uint8 [N, 1, H, W] and labels int64 [N]; raises Refused if they do not fit together."""
    pixels, numbers = array(images, 3), array(labels, 1)
    if not pixels.size:
        raise faulty(images, f"no image ({' × '.join(map(str, pixels.shape))})")
    if len(pixels) != len(numbers):
        count = counted(len(pixels), "image")
        raise faulty(labels, f"{counted(len(numbers), 'label')}, but {count} in {images.origin}")
    return torch.from_numpy(pixels).unsqueeze(1), torch.from_numpy(numbers).long()  # [N, H, W] -> [N, 1, H, W]


def array(file: Found, dimensions: int) -> np.ndarray:
    """Parse an IDX file; raises Refused if it is invalid."""
    try:
        return parse(file.content, dimensions)
    except ValueError as error:
        raise faulty(file, str(error)) from None


def faulty(file: Found, what: str) -> Refused:
    """Return the Refused for an invalid file."""
    return Refused(f"{file.origin}: {what}", "wanted: four IDX files that belong together; see dataset.dir")


def size(images: torch.Tensor) -> str:
    """Return the height and width of images, for messages."""
    return f"images of {images.shape[-2]} × {images.shape[-1]}"


def parse(content: bytearray, dimensions: int) -> np.ndarray:
    """Return ``content`` as a uint8 array with this number of ``dimensions``; it shares the memory.

    Raises ValueError with the reason.
    """
    magic, wanted = bytes(content[:4]), bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if magic != wanted:
        kind = f"IDX, unsigned bytes in {dimensions} dimension{'s' if dimensions > 1 else ''}"
        raise ValueError(f"it begins with {magic.hex() or 'nothing'}, wanted {wanted.hex()} ({kind})")
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise ValueError(f"{counted(len(content), 'byte')}, wanted at least a header of {header}")
    shape = [int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4)]
    size = header + math.prod(shape)
    if len(content) != size:
        sizes = " × ".join(map(str, shape))
        raise ValueError(f"{counted(len(content), 'byte')}, but its header says {sizes}, which makes {size:,}")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
