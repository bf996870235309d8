"""Kuzushiji-MNIST (Clanuwat et al. 2018): 60,000 + 10,000 grey images of cursive Japanese letters, 28 × 28."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from d2lrun.datasets import idx
from d2lrun.datasets.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk.download import Found, Unusable, unpack
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.classification.images import ImageDataset

CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
PACKED = ".gz"
FILES = Files(
    dataset="kmnist",
    sums={  # torchvision's, of the packed files
        TRAIN_IMAGES + PACKED: "bdb82020997e1d708af4cf47b453dcf7",
        TRAIN_LABELS + PACKED: "e144d726b3acfaa3e44228e80efcd344",
        TEST_IMAGES + PACKED: "5c965bf0a639b31b8f53240b1b52f4d7",
        TEST_LABELS + PACKED: "7320c461ea6c1c855c0b718fb2a4b134",
    },
    limit=64 << 20,  # the largest has 18,165,135 bytes, and 47,040,016 unpacked
    layouts=("KMNIST/raw",),  # torchvision's
    suffix="",
    archive=True,
    other="give dataset=fashion-mnist dataset.verify=false for images of your own in this form",
)
form = idx.form


def load(
    dir: str | None,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """Return the dataset on the CPU; raises Refused that names each file and its error."""
    found = locate(files, dir, mirrors, say, progress)
    return idx.dataset("kmnist", {name.removesuffix(PACKED): unpacked(file) for name, file in found.items()}, CLASSES)


def unpacked(file: Found) -> Found:
    """Return a file with its content unpacked; raises Refused."""
    try:
        return replace(file, content=unpack(io.BytesIO(file.content), FILES.limit))  # type: ignore[arg-type]
    except Unusable as problem:
        raise idx.faulty(file, str(problem)) from None
