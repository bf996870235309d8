"""Labelled images in memory, stored as uint8; a batch is resized and scaled when it is used.

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
    source: str  # where it was found, for messages
    contents: tuple[Content, ...] = ()  # the files that were read
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of images and labels
    resize: int | None = None  # side of the network's input in pixels; None: as stored
    channels: int | None = None  # channels of the network's input; None: as stored

    @property
    def inputs(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        channels, height, width = self.train_images.shape[1:]
        return self.channels or channels, self.resize or height, self.resize or width

    @property
    def outputs(self) -> int:
        """The number of logits: one for each class."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The classes, to stratify by."""
        return self.classes

    @property
    def strata(self) -> Tensor:
        """Return the labels of the training images, int64 [N] on the CPU."""
        return self.train_labels.cpu()

    def to(self, device: torch.device | str) -> ImageDataset:
        """Return the same dataset with its tensors on ``device``."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def prepared(self, images: Tensor) -> Tensor:
        """Return the network's input for images uint8 [B, C, H, W]: float32 from 0 to 1 of the shape ``inputs``."""
        scaled = scale(images)
        if self.resize is not None:
            scaled = resized(scaled, self.resize)
        return scaled.expand(-1, self.channels or -1, -1, -1)

    def pool(self, name: str) -> str:
        """Return the fingerprint of all images and labels of "train" or "test"."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_images"), getattr(self, f"{name}_labels"))

    def part(self, name: str, index: Tensor | None = None) -> ImageSubset:
        """Return the examples ``index`` [n] (default: all) of "train" or "test"."""
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
    pool: str = "train"  # the pool that the indices refer to: train or test
    of: int | None = None  # number of examples of the whole part, if this is only its beginning
    least: int = 1  # least number of examples in a training batch

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [B, C, H, W] and labels [B]."""
        return self.data.prepared(self.images.index_select(0, batch)), self.labels.index_select(0, batch)


def scale(images: Tensor) -> Tensor:
    """Convert uint8 0…255 to float32 0…1; on the CPU with the same bits as torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)


def resized(images: Tensor, side: int) -> Tensor:
    """Resize images [B, C, H, W] to [B, C, side, side], bilinear and with antialiasing like PIL's resize."""
    if images.shape[-2:] == (side, side):
        return images
    smooth = side < max(images.shape[-2:])  # antialiasing changes nothing if images grow, and costs time
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=smooth)
