"""Labelled images in memory, as they are stored: whole bytes; resized and scaled when a batch is used.

N examples, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.datasets.content import Content, fingerprint


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
    contents: tuple[Content, ...] = ()  # what was read
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of images and labels
    resize: int | None = None  # pixels of both sides, for the network; None: as stored
    channels: int | None = None  # for the network; None: as stored

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network is given."""
        channels, height, width = self.train_images.shape[1:]
        return self.channels or channels, self.resize or height, self.resize or width

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def to(self, device: torch.device | str) -> ImageDataset:
        """The same dataset with its tensors on ``device``."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def inputs(self, images: Tensor) -> Tensor:
        """What the network is given for images uint8 [B, C, H, W]: float32 0…1 of ``image_shape``."""
        scaled = scale(images)
        if self.resize is not None:
            scaled = resized(scaled, self.resize)
        return scaled.expand(-1, self.channels or -1, -1, -1)

    def pool(self, name: str) -> str:
        """The fingerprint of all images and labels of "train" or "test"."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_images"), getattr(self, f"{name}_labels"))

    def fitted(self, index: Tensor) -> ImageDataset:
        """Itself: pixels are scaled by a fixed number, nothing is learned of the images that train."""
        return self

    def part(self, name: str, index: Tensor | None = None) -> ImagePart:
        """The examples ``index`` [n] of "train" or "test", all of them by default."""
        images, labels = getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")
        index = torch.arange(len(labels)) if index is None else index
        return ImagePart(self, images, labels, index.to(labels.device), name)


class Indexed:
    """A part of a dataset that is named by the indices [n] of its examples. A batch is some of these, [B]."""

    data: Any
    index: Tensor  # int64 [n]
    pool: str  # what it is taken from: train or test
    of: int | None  # examples of the whole part, if this is only its beginning
    least: int  # examples of a batch that trains

    @property
    def size(self) -> int:
        """How many examples it has."""
        return len(self.index)

    @property
    def fingerprint(self) -> str:
        """Equal for the same examples, whatever is made of them for the network."""
        return fingerprint(self.data.pool(self.pool), self.index)

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """The batches of an epoch: a pure function of (seed, epoch)."""
        return batches(self.index, size, seed, epoch, self.least)

    def ordered(self, size: int) -> list[list[Tensor]]:
        """All examples as they are stored, in batches that do not depend on each other."""
        return [[batch] for batch in self.index.split(size)]

    def limited(self, batches: int, size: int) -> Any:
        """The first ``batches`` of ``size`` examples."""
        return replace(self, index=self.index[: batches * size], of=self.size)

    def count(self, batches: list[Tensor]) -> int:
        return sum(map(len, batches))


@dataclass(frozen=True, eq=False)
class ImagePart(Indexed):
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
        return self.data.inputs(self.images.index_select(0, batch)), self.labels.index_select(0, batch)


def order(index: Tensor, seed: int, epoch: int) -> Tensor:
    """The indices [n] shuffled: a pure function of (seed, epoch)."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(mixed))
    return index[torch.randperm(len(index), generator=generator).to(index.device)]


def batches(index: Tensor, size: int, seed: int, epoch: int, least: int = 1) -> list[Tensor]:
    """The indices [n] shuffled and cut into batches of ``size``: a pure function of (seed, epoch).

    If the last batch has fewer than ``least`` indices, it becomes part of the batch before it.
    """
    found = list(order(index, seed, epoch).split(size))
    if len(found) > 1 and len(found[-1]) < least:
        found[-2:] = [torch.cat(found[-2:])]
    return found


def scale(images: Tensor) -> Tensor:
    """uint8 0…255 as float32 0…1, on the CPU with the very bits of torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)


def resized(images: Tensor, side: int) -> Tensor:
    """Images [B, C, H, W] as [B, C, side, side], bilinear and smoothed like PIL's resize."""
    if images.shape[-2:] == (side, side):
        return images
    smooth = side < max(images.shape[-2:])  # it changes nothing where images grow, and costs time
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=smooth)
