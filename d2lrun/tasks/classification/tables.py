"""The number of images of each class on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from d2lrun.report.classes import show_sizes
from d2lrun.report.tables import pairs
from d2lrun.report.text import counted, say, size

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.tasks.classification.images import ImageDataset


def show_counts(console: Console, dataset: ImageDataset) -> None:
    """Print the number of images of each class: uint8 images [N, C, H, W], labels [N]."""
    channels, height, width = dataset.train_images.shape[1:]
    show_sizes(console, dataset.name, dataset.classes, dataset.train_labels, dataset.test_labels)
    total = dataset.train_images.nbytes + dataset.test_images.nbytes
    images = f"{height}×{width}, {counted(channels, 'channel')} of 8 bits"
    console.print(pairs(console, [("images", images), ("memory", size(total))]))
    say(console, f" from        {dataset.source}")
