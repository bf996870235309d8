"""Labelled images in memory, as they are stored: whole bytes, scaled when a batch is used.

N examples, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images are uint8 [N, C, H, W], labels int64 [N] that index ``classes``."""

    name: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str  # where it was found, for people

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        return tuple(self.train_images.shape[1:])

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def to(self, device: torch.device | str) -> ImageDataset:
        """The same dataset with its tensors on ``device``."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def scale(images: Tensor) -> Tensor:
    """uint8 0…255 as float32 0…1, on the CPU with the very bits of torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)
