"""CIFAR-10 (book 13.1; Krizhevsky 2009): 50,000 + 10,000 images in colour, 32 × 32, in ten classes.

The archive is the one for C programs: numbers alone, so nothing in it is run. It is read as it is, member by member.
N images.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from d2lrun.counts import counted
from d2lrun.disk.content import Content
from d2lrun.disk.download import Found
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset

ARCHIVE = "cifar-10-binary.tar.gz"
FILES = Files(
    dataset="cifar10",
    sums={ARCHIVE: "c32a1d4ab5d03f1284b67883e8d87530"},  # the author's
    limit=256 << 20,  # it has 170,052,171 bytes
    archive=True,
    suffix="",
)
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = (3, 32, 32)  # (C, H, W)
TRAIN, TEST = tuple(f"data_batch_{number}.bin" for number in range(1, 6)), ("test_batch.bin",)
FOLDER = "cifar-10-batches-bin"
LARGEST = 32 << 20  # most bytes of a member: it has 30,730,000
MOST = 1 << 28  # most bytes of the unpacked archive


def load(
    dir: str | None,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """Return the dataset on the CPU; raises Refused."""
    found = locate(files, dir, mirrors, say, progress)[ARCHIVE]
    batches = members(found)
    (train_images, train_labels), (test_images, test_labels) = (
        examples(found, [batches[name] for name in names]) for names in (TRAIN, TEST)
    )
    return ImageDataset(
        "cifar10",
        CLASSES,
        train_images,
        train_labels,
        test_images,
        test_labels,
        source=found.origin,
        contents=(Content(found.origin, found.sha256),),
        photos=True,
    )


def form(config: Any) -> tuple[tuple[int, int, int], int]:
    """Return (C, H, W) and the number of classes; nothing is read."""
    channels, height, width = SHAPE
    return (channels, config.resize or height, config.resize or width), len(CLASSES)


def members(found: Found) -> dict[str, bytes]:
    """Return the content of the six files in the archive by their names; raises Refused."""
    contents: dict[str, bytes] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(found.content), mode="r|gz") as archive:
            for member in archive:
                size += member.size
                if member.size > LARGEST or size > MOST:
                    raise faulty(found, f"{member.name} has {counted(member.size, 'byte')}, {size:,} with those before")
                folder, _, name = member.name.rpartition("/")
                if folder == FOLDER and name in (*TRAIN, *TEST) and member.isreg():
                    contents[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise faulty(found, str(error)) from error
    if missing := [name for name in (*TRAIN, *TEST) if name not in contents]:
        raise faulty(found, f"no {FOLDER}/{missing[0]}")
    return contents


def examples(found: Found, batches: Sequence[bytes]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images uint8 [N, 3, 32, 32] and labels int64 [N] of files in the archive; raises Refused.

    An image is a byte for its label, then the red, the green and the blue pixels.
    """
    length = 1 + np.prod(SHAPE)
    content = np.frombuffer(bytearray().join(batches), np.uint8)  # of a bytearray: a tensor of it is writable
    if not len(content) or any(len(batch) % length for batch in batches):
        sizes = ", ".join(counted(len(batch), "byte") for batch in batches)
        raise faulty(found, f"files of {sizes}, wanted multiples of {length:,}")
    rows = torch.from_numpy(content.reshape(-1, length))  # [N, 1 + C·H·W]
    labels = rows[:, 0].long()
    if labels.max() >= len(CLASSES):
        raise faulty(found, f"a label is {int(labels.max())}, wanted at most {len(CLASSES) - 1}")
    return rows[:, 1:].reshape(-1, *SHAPE), labels


def faulty(found: Found, what: str) -> Refused:
    """Return the Refused for an archive of another form."""
    return Refused(f"{found.origin}: {what}", f"wanted: {ARCHIVE} of www.cs.toronto.edu/~kriz/cifar.html")
