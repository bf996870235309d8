"""What trains and what validates: a pure function of the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset, cut
from d2lrun.datasets.table import TableDataset
from d2lrun.errors import Refused
from d2lrun.tasks import Part


@dataclass(frozen=True)
class Split:
    """The parts of a dataset; ``val`` or ``test`` is None where nothing is kept for it."""

    train: Part
    val: Part | None
    test: Part | None
    test_watched: bool = False  # after every epoch, as the book does; otherwise once, at the end

    def limited(self, batches: int | None, size: int) -> Split:
        """The same with as much of ``val`` and ``test`` as so many batches hold; None: all of them."""
        if batches is None:
            return self
        val, test = (part and part.limited(batches, size) for part in (self.val, self.test))
        return replace(self, val=val, test=test)

    @property
    def watched(self) -> tuple[str, Part] | None:
        """The name and the part that is measured after every epoch."""
        if self.val is not None:
            return "val", self.val
        return ("test", self.test) if self.test_watched and self.test is not None else None

    @property
    def kept(self) -> Part | None:
        """The test set where nobody looks at it before the end."""
        return None if self.test_watched else self.test


def split(config: Any, data: ImageDataset | TextDataset | TableDataset, seed: int) -> Split:
    """The split that the config group ``validation`` describes, on the device where the data lies.

    Images and rows of a table are drawn by the seed; rows have no classes to stratify. What prepares a table is
    fitted on the rows that train. A text is cut before windows are made of it. Of K folds it is the one that
    ``config.fold`` names, the first where it names none; a fold never sees the test set. Raises Refused.
    """
    if isinstance(data, TextDataset):
        return split_text(config, data)
    if config.name in ("none", "once"):
        return Split(data.part("train"), None, data.part("test"), test_watched=config.name == "none")
    labels = data.train_labels.cpu()
    train, val = holdout(config, labels, seed) if config.name == "holdout" else fold(config, labels, seed)
    data = data.fitted(train)
    test = data.part("test") if config.name == "holdout" else None
    return Split(data.part("train", train), data.part("train", val), test)


def split_text(config: Any, data: TextDataset) -> Split:
    """The end of the stream validates, or one of K pieces of it, whatever the seed; there is no test set."""
    count = data.characters
    if config.name == "holdout":
        return Split(*data.parts(*cut(count, config.fraction)), None)
    if config.name == "kfold":
        start, end = piece(count, config)
        return Split(*data.parts([(0, start), (end, count)], [(start, end)]), None)
    return Split(data.part((0, count)), None, None)


def holdout(config: Any, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The indices that train [n] and validate [m]; ``labels`` is [n + m], on the CPU."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    classes = labels.unique() if config.stratify else []
    groups = [order[labels[order] == label] for label in classes] or [order]
    cuts = [round(len(group) * config.fraction) for group in groups]
    val = torch.cat([group[:cut] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    train = torch.cat([group[cut:] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    return train, val


def fold(config: Any, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The indices that train [n] and validate [m] in one of K folds; ``labels`` is [n + m], on the CPU."""
    chosen = folds_of(config, labels, seed) == (config.fold or 0)
    return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]


def folds_of(config: Any, labels: Tensor, seed: int) -> Tensor:
    """The fold in which each example validates, int64 [N], from 0; ``labels`` is [N], on the CPU. Raises Refused.

    Not shuffled, folds are the book's contiguous blocks (book 4.10). Shuffled, the examples are dealt out like
    cards, class by class with ``stratify``, so that every fold has its share of each class.
    """
    count = len(labels)
    check_folds(count, config.k)
    places = torch.arange(count)
    if not config.shuffle:
        return ((places + 1) * config.k - 1) // count  # those of ``piece``
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    if config.stratify:
        order = order[labels[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, places % config.k)


def piece(count: int, config: Any) -> tuple[int, int]:
    """Where one of K contiguous blocks begins and ends; raises Refused. The book drops what K does not divide."""
    check_folds(count, config.k)
    block = config.fold or 0
    return count * block // config.k, count * (block + 1) // config.k


def check_folds(count: int, k: int) -> None:
    """Raise Refused if there are fewer examples, or tokens, than folds."""
    if k > count:
        hint = "choose a smaller validation.k, or give more data"
        raise Refused(f"validation.k={k}: more folds than examples to train with ({count:,})", hint)
