"""MNIST (LeCun et al. 1998): 60,000 + 10,000 grey images of handwritten digits, 28 × 28."""

from __future__ import annotations

from collections.abc import Sequence

from d2lrun.datasets import idx
from d2lrun.datasets.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.classification.images import ImageDataset

CLASSES = tuple("0123456789")
FILES = Files(
    dataset="mnist",
    sums={
        TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    limit=64 << 20,  # the largest has 47,040,016 bytes
    layouts=("MNIST/raw",),  # torchvision's
    instead="give dataset=digits, which comes with a package",
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
    return idx.dataset("mnist", locate(files, dir, mirrors, say, progress), CLASSES)
