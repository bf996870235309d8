"""Labelled images in memory, as they are stored: whole bytes; resized and scaled when a batch is used.

N examples, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.disk.content import Content, fingerprint
from d2lrun.training.examples import Examples, Indexed


@dataclass(frozen=True, eq=False)
class ImageDataset(Examples["ImageSubset"]):
    """Images are uint8 [N, C, H, W], labels int64 [N] that index ``classes``."""

    name: str
    classes: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    source: str  # where it was found, for people
    contents: tuple[Content, ...] = ()  # what was read
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of images and labels
    resize: int | None = None  # pixels of both sides, for the network; None: as stored
    channels: int | None = None  # for the network; None: as stored

    @property
    def inputs(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network is given."""
        channels, height, width = self.train_images.shape[1:]
        return self.channels or channels, self.resize or height, self.resize or width

    @property
    def outputs(self) -> int:
        """One logit for each class."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The classes, to stratify by."""
        return self.classes

    @property
    def strata(self) -> Tensor:
        """The labels of the training images, int64 [N] on the CPU."""
        return self.train_labels.cpu()

    def to(self, device: torch.device | str) -> ImageDataset:
        """The same dataset with its tensors on ``device``."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def prepared(self, images: Tensor) -> Tensor:
        """What the network is given for images uint8 [B, C, H, W]: float32 0…1 of the shape ``inputs``."""
        scaled = scale(images)
        if self.resize is not None:
            scaled = resized(scaled, self.resize)
        return scaled.expand(-1, self.channels or -1, -1, -1)

    def pool(self, name: str) -> str:
        """The fingerprint of all images and labels of "train" or "test"."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_images"), getattr(self, f"{name}_labels"))

    def part(self, name: str, index: Tensor | None = None) -> ImageSubset:
        """The examples ``index`` [n] of "train" or "test", all of them by default."""
        images, labels = getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")
        index = torch.arange(len(labels)) if index is None else index
        return ImageSubset(self, images, labels, index.to(labels.device), name)


@dataclass(frozen=True, eq=False)
class ImageSubset(Indexed):
    """The examples that train, validate or test. A batch is named by the indices [B] of its examples."""

    data: ImageDataset
    images: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [n]
    pool: str = "train"  # what it is taken from: train or test
    of: int | None = None  # examples of the whole part, if this is only its beginning
    least: int = 1  # examples of a batch that trains

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs [B, C, H, W] and labels [B]."""
        return self.data.prepared(self.images.index_select(0, batch)), self.labels.index_select(0, batch)


def scale(images: Tensor) -> Tensor:
    """uint8 0…255 as float32 0…1, on the CPU with the very bits of torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)


def resized(images: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] as [B, C, side, side], bilinear and smoothed like PIL's resize."""
    if images.shape[-2:] == (side, side):
        return images
    smooth = side < max(images.shape[-2:])  # it changes nothing where images grow, and costs time
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=smooth)
