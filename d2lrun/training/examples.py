"""Datasets of single examples: split by index, shuffled by seed and epoch. N examples, B batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import fingerprint
from d2lrun.training import split_check, splits
from d2lrun.training.task import Part, Split

Self = TypeVar("Self")


class Examples(ABC, Generic[Part]):
    """A dataset of two pools of examples, "train" and "test". Images and rows of a table are such datasets."""

    class_names: tuple[str, ...] = ()  # of the classes to stratify by, for messages

    @property
    @abstractmethod
    def strata(self) -> Tensor:
        """The class of each training example, int64 [N] on the CPU; all 0 if there are no classes."""

    @abstractmethod
    def pool(self, name: str) -> str:
        """The fingerprint of all examples of "train" or "test"."""

    @abstractmethod
    def part(self, name: str, index: Tensor | None = None) -> Part | None:
        """The examples ``index`` [n] of "train" or "test", by default all; None if they have no targets."""

    def train_part(self, index: Tensor | None = None) -> Part:
        """The training examples ``index`` [n], by default all: they always have targets."""
        return cast("Part", self.part("train", index))

    def fitted(self: Self, index: Tensor) -> Self:
        """The dataset prepared by the training examples ``index`` [n] alone: of the others nothing is learned."""
        return self

    def check_split(self, config: Any) -> None:
        """Raise Refused, with a hint that works, unless every subset can train or be measured, in all folds."""
        split_check.check_examples(config, self.strata, self.class_names)

    def split(self, validation: Any, seed: int) -> Split[Part]:
        """The split that the config group ``validation`` describes; raises Refused."""
        if validation.name in ("none", "once"):
            return Split(self.train_part(), None, self.part("test"), test_each_epoch=validation.name == "none")
        divide = splits.holdout if validation.name == "holdout" else splits.fold
        train, val = divide(validation, self.strata, seed)
        data = self.fitted(train)
        test = data.part("test") if validation.name == "holdout" else None
        return Split(data.train_part(train), data.train_part(val), test)


class Indexed:
    """A subset of a dataset, named by the indices [n] of its examples. A batch is some of these, [B]."""

    data: Any
    index: Tensor  # int64 [n]
    pool: str  # what it is taken from: train or test
    of: int | None  # examples of the whole subset, if this is only its beginning
    least: int  # examples of a training batch

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
        return replace(self, index=self.index[: batches * size], of=self.size)  # type: ignore[type-var]

    def joined(self, least: int) -> Any:
        """The same, but a last training batch of fewer than ``least`` examples becomes part of the one before it."""
        return replace(self, least=least)  # type: ignore[type-var]

    def count(self, batches: list[Tensor]) -> int:
        """How many examples the batches hold."""
        return sum(map(len, batches))


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
