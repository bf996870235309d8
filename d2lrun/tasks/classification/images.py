"""Labelled images in memory, stored as uint8; a batch is resized and scaled when it is used.

N examples, B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from d2lrun.config.keys import Augment
from d2lrun.counts import counted
from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.models import inputs
from d2lrun.tasks.classification.augment import augmented, beta, drawn, mixed, whole
from d2lrun.tasks.classification.preparation import IMAGENET, Preparation, Statistics, measured
from d2lrun.training.examples import Examples, Indexed

BORDERS = 100  # images whose borders show whether the background is dark


@dataclass(frozen=True, eq=False)
class Augmented:
    """A training batch that is augmented: the indices [B] of its examples, and what their changes depend on."""

    index: Tensor
    seed: int
    epoch: int
    settings: Augment

    def __len__(self) -> int:
        return len(self.index)


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
    normalise: str = "none"  # which mean and deviation the pixels of a channel get: none, standard or imagenet
    statistics: Statistics | None = None  # of the pixels that they get, after ``fitted``
    weights: Tensor | None = None  # of the classes in the loss, float32 [K]; None: all alike
    scored: bool = False  # whether metrics in which each class counts alike are measured
    augment: Augment | None = None  # random changes of training images; None: none
    framing: str = "pad"  # how a file of other proportions is stored
    photos: bool = False  # whether a light background means nothing: ``predict`` inverts no file of such images
    own_val: int = 0  # the last training images, if the user has set them apart to validate
    same: Tensor | None = None  # int64 [N], the first training image with the same content; None: all differ
    mapped: bool = False  # whether the images are in files that are mapped into memory: they may be larger than it

    @property
    def inputs(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return self.preparation.inputs

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
        """Return the same dataset with its tensors on ``device``; images in a file stay there, and batches move."""
        weights = self.weights if self.weights is None else self.weights.to(device)
        names = ("train_labels", "test_labels", *(() if self.mapped else ("train_images", "test_images")))
        return replace(self, weights=weights, **{name: getattr(self, name).to(device) for name in names})

    def divide(self, validation: Any, seed: int) -> tuple[Tensor, Tensor | None]:
        """Return the training images that train, int64 [n] on the CPU, and those that validate, or None.

        What the user has set apart validates with a holdout; K folds use all training images. Of images with the same
        content, the first one is dealt, and the others are on its side: none is in both parts.
        """
        if self.own_val and validation.name != "kfold":
            own, val = torch.arange(len(self.strata)).tensor_split([-self.own_val])
            return own, val if validation.name == "holdout" else None
        if self.same is None:
            return super().divide(validation, seed)
        train, held_out = self.distinct.divide(validation, seed)
        place = self.same.unique(return_inverse=True)[1]  # of each image among those that differ, [N]
        return copies(place, train), None if held_out is None else copies(place, held_out)

    def check_split(self, config: Any) -> str | None:
        """Raise Refused, and return a remark, as for other examples; what the user has set apart needs no check."""
        if self.same is not None:
            return self.distinct.check_split(config)
        return super().check_split(config) if not self.own_val or config.validation.name == "kfold" else None

    @property
    def distinct(self) -> ImageDataset:
        """The dataset with the labels of the training images that differ, to be split."""
        assert self.same is not None
        return replace(self, train_labels=self.train_labels[self.same.unique().to(self.train_labels.device)], same=None)

    def fit(self, config: Any) -> ImageDataset:
        """Return the dataset with the augmentation of the config, fitted on the training part; raises Refused."""
        return super().fit(config).augmented_by(config.augment)

    def augmented_by(self, settings: Augment) -> ImageDataset:
        """Return the dataset whose training images are changed as ``settings`` say; raises Refused."""
        height, width = self.inputs[1:]
        if settings.crop >= min(height, width):
            given = f"augment.crop={settings.crop}: some images of {height}×{width} would show only padding"
            raise Refused(given, f"augment.crop={min(height, width) - 1} or less")
        used = any(value for key, value in asdict(settings).items() if key != "name")
        return replace(self, augment=settings if used else None)

    def fitted(self, index: Tensor) -> ImageDataset:
        """Return the dataset with the mean and deviation of each channel of the training images ``index`` [n]."""
        if self.normalise == "imagenet" and self.inputs[0] != len(IMAGENET.mean):
            given = f"dataset.normalise=imagenet with {counted(self.inputs[0], 'channel')}"
            raise Refused(f"{given}: its mean and deviation are of three colours", inputs.COLOURED)
        known = {"none": None, "imagenet": IMAGENET}
        found = known[self.normalise] if self.normalise in known else measured(self.train_images, index)
        return replace(self, statistics=found)

    @cached_property
    def preparation(self) -> Preparation:
        """How an image becomes an input of the network."""
        stored = tuple(self.train_images.shape[1:])
        how = {"statistics": self.statistics, "framing": self.framing, "dark": self.dark}
        return Preparation(stored, self.resize, self.channels, **how)  # type: ignore[arg-type]

    def prepared(self, images: Tensor) -> Tensor:
        """Return the network's input for stored images uint8 [B, C, H, W]."""
        return self.preparation(images)

    @property
    def dark(self) -> bool:
        """Whether the background of the training images is dark: the median of the borders of the first of them."""
        if self.photos:
            return False
        images = self.train_images[:BORDERS]
        sides = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
        return bool(torch.cat([side.flatten() for side in sides]).float().median() <= 127)

    def pool(self, name: str) -> str:
        """Return the fingerprint of all images and labels of "train" or "test"."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_images"), getattr(self, f"{name}_labels"))

    def part(self, name: str, index: Tensor | None = None) -> ImageSubset | None:
        """Return the examples ``index`` [n] (default: all) of "train" or "test"; None if there are no test images."""
        images, labels = getattr(self, f"{name}_images"), getattr(self, f"{name}_labels")
        if name == "test" and not len(labels):
            return None
        index = torch.arange(len(labels)) if index is None else index
        return ImageSubset(self, images, labels, index.to(labels.device), name)


def copies(place: Tensor, index: Tensor) -> Tensor:
    """Return the images whose ``place`` [N] is in ``index`` [n], in their order."""
    return torch.isin(place, index).nonzero()[:, 0]


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

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Any]:
        """Return the shuffled batches of an epoch; with augmentation, they remember the seed and the epoch."""
        found = super().shuffled(size, seed, epoch)
        return (
            found
            if self.data.augment is None
            else [Augmented(batch, seed, epoch, self.data.augment) for batch in found]
        )

    def load(self, batch: Tensor | Augmented) -> tuple[Tensor, Tensor]:
        """Return inputs [B, C, H, W] and labels [B], or with mixup the probability of each class [B, K]."""
        if isinstance(batch, Augmented):
            return self.load_augmented(batch)
        return self.data.preparation(self.pixels(batch)), self.labels.index_select(0, batch)

    def load_augmented(self, batch: Augmented) -> tuple[Tensor, Tensor]:
        """Return the inputs and labels of a training batch as its settings change them."""
        index, seed, epoch, settings = batch.index, batch.seed, batch.epoch, batch.settings
        numbers = drawn(index, settings, seed, epoch)
        images, labels = self.data.preparation.scaled(self.pixels(index)), self.labels.index_select(0, index)
        if settings.mixup:
            place, *pairs = numbers["mixup"]
            partner = self.index[whole(place, 0, len(self.index) - 1)]
            others = self.data.preparation.scaled(self.pixels(partner)), self.labels.index_select(0, partner)
            share = beta(torch.stack(pairs), settings.mixup)
            images, labels = mixed(images, labels, *others, share, self.data.outputs)
        return self.data.preparation.normalised(augmented(images, settings, numbers)), labels

    def augmented_pixels(self, index: Tensor) -> Tensor:
        """Return images as they train in the first epoch with seed 0, uint8 [B, C, H, W]; ``augment`` is not None."""
        assert self.data.augment is not None
        plain = replace(self, data=replace(self.data, statistics=None))
        images, _ = plain.load_augmented(Augmented(index, 0, 0, self.data.augment))
        return images.mul(255).round().to(torch.uint8)

    def pixels(self, index: Tensor) -> Tensor:
        """Return the stored images uint8 [B, C, H, W] on the device of the labels."""
        found = self.images.index_select(0, index.to(self.images.device))
        return found.to(self.labels.device, non_blocking=True)
