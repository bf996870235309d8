"""Datasets of single examples: split by index, shuffled by seed and epoch. N examples, B batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import fingerprint
from d2lrun.errors import Refused
from d2lrun.training import split_check, splits
from d2lrun.training.labels import balanced, scores_asked
from d2lrun.training.task import Part, Split

NO_COLUMNS = "the dataset has no columns with names to split by"
Self = TypeVar("Self", bound="Examples[Any]")


class Examples(ABC, Generic[Part]):
    """A dataset of two pools of examples, "train" and "test". Images and rows of a table are such datasets."""

    class_names: tuple[str, ...] = ()  # names of the classes to stratify by, for messages

    @property
    @abstractmethod
    def strata(self) -> Tensor:
        """Return the class of each training example, int64 [N] on the CPU; all 0 if there are no classes."""

    @abstractmethod
    def pool(self, name: str) -> str:
        """Return the fingerprint of all examples of "train" or "test"."""

    @abstractmethod
    def part(self, name: str, index: Tensor | None = None) -> Part | None:
        """Return the examples ``index`` [n] (default: all) of "train" or "test"; None if they have no targets."""

    def groups_in(self, column: str) -> Tensor:
        """Return the group of each training example by a column of its file, int64 [N] on the CPU; raises Refused."""
        raise Refused(NO_COLUMNS, "leave validation.group out")

    def times_in(self, column: str) -> Tensor:
        """Return the time of each training example by a column of its file, float64 [N] on the CPU; raises Refused."""
        raise Refused(NO_COLUMNS, "leave validation.time out")

    def train_part(self, index: Tensor | None = None) -> Part:
        """The training examples ``index`` [n], by default all: they always have targets."""
        return cast("Part", self.part("train", index))

    def fitted(self: Self, index: Tensor) -> Self:
        """Return the dataset with its preparation fitted on the training examples ``index`` [n] only."""
        return self

    def fit(self: Self, config: Any) -> Self:
        """Return the dataset with its preparation fitted on the training part of ``split``; raises Refused.

        If it has classes, their weights in the loss are those of the training part, too.
        """
        index = self.divide(config.validation, config.seed)[0]
        found, classes = self.fitted(index), len(self.class_names)
        if not classes:
            return found
        weights = balanced(self.strata[index], classes) if config.train.class_weights == "balanced" else None
        return replace(found, weights=weights, scored=scores_asked(config))  # type: ignore[type-var]

    def divide(self, validation: Any, seed: int) -> tuple[Tensor, Tensor | None]:
        """Return the training examples that train, int64 [n] on the CPU, and those that validate, or None."""
        if validation.name in ("none", "once"):
            return torch.arange(len(self.strata)), None
        if validation.group is not None:
            return splits.grouped(validation, self.strata, self.groups_in(validation.group), seed)
        if validation.time is not None:
            return splits.in_time(validation, self.times_in(validation.time))
        return (splits.holdout if validation.name == "holdout" else splits.fold)(validation, self.strata, seed)

    def check_split(self, config: Any) -> str | None:
        """Raise Refused, with a hint that works, if a subset of any fold cannot train or be measured.

        Return a line that names the classes with too few examples for each fold to validate one; None without any.
        """
        if getattr(config.validation, "group", None) or getattr(config.validation, "time", None):
            split_check.check_parts(config, self.divide, self.strata, self.class_names)
        else:
            split_check.check_examples(config, self.strata, self.class_names)
        return split_check.rare(self.strata, self.class_names, getattr(config.validation, "k", 0))

    def split(self, validation: Any, seed: int) -> Split[Part]:
        """Return the split that the config group ``validation`` describes; raises Refused."""
        train, val = self.divide(validation, seed)
        test = None if validation.name == "kfold" else self.part("test")
        held_out = None if val is None else self.train_part(val)
        return Split(self.train_part(train), held_out, test, test_each_epoch=validation.name == "none")


class Indexed(ABC):
    """A subset of a dataset, given by the indices [n] of its examples. A batch is a part of them, [B]."""

    data: Any
    index: Tensor  # int64 [n]
    pool: str  # the pool that the indices refer to: train or test
    of: int | None  # number of examples of the whole subset, if this is only its beginning
    least: int  # least number of examples in a training batch

    @property
    def size(self) -> int:
        """The number of examples."""
        return len(self.index)

    @property
    def fingerprint(self) -> str:
        """Equal for the same examples, independent of how they are prepared for the network."""
        return fingerprint(self.data.pool(self.pool), self.index)

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """Return the shuffled batches of an epoch: a pure function of (seed, epoch)."""
        return batches(self.index, size, seed, epoch, self.least)

    def ordered(self, size: int) -> list[list[Tensor]]:
        """Return all examples in stored order, in batches that do not depend on each other."""
        return [[batch] for batch in self.index.split(size)]

    def limited(self, batches: int, size: int) -> Any:
        """Return the subset with only the first ``batches`` batches of ``size`` examples."""
        return replace(self, index=self.index[: batches * size], of=self.size)  # type: ignore[type-var]

    def joined(self, least: int) -> Any:
        """Return the same subset; a last training batch of fewer than ``least`` examples joins the batch before it."""
        return replace(self, least=least)  # type: ignore[type-var]

    def count(self, batches: list[Tensor]) -> int:
        """Return the number of examples in the batches."""
        return sum(map(len, batches))

    @abstractmethod
    def load(self, batch: Tensor) -> tuple[Any, Tensor]:
        """Return the inputs (a tensor, or a tuple of tensors) and the targets of a batch of indices [B]."""


def order(index: Tensor, seed: int, epoch: int) -> Tensor:
    """Return the indices [n] shuffled: a pure function of (seed, epoch)."""
    mixed = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(mixed))
    return index[torch.randperm(len(index), generator=generator).to(index.device)]


def batches(index: Tensor, size: int, seed: int, epoch: int, least: int = 1) -> list[Tensor]:
    """Return the indices [n] shuffled and cut into batches of ``size``: a pure function of (seed, epoch).

    If the last batch has fewer than ``least`` indices, it joins the batch before it.
    """
    found = list(order(index, seed, epoch).split(size))
    if len(found) > 1 and len(found[-1]) < least:
        found[-2:] = [torch.cat(found[-2:])]
    return found
