"""Split examples into training and validation: a pure function of their classes and the seed. N examples, K folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.errors import Refused


def holdout(config: Any, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices that train [n] and validate [m]; ``labels`` is [n + m], on the CPU."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    classes = labels.unique() if config.stratify else []
    groups = [order[labels[order] == label] for label in classes] or [order]
    cuts = [round(len(group) * config.fraction) for group in groups]
    val = torch.cat([group[:cut] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    train = torch.cat([group[cut:] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    return train, val


def fold(config: Any, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices that train [n] and validate [m] in one of K folds; ``labels`` is [n + m], on the CPU."""
    chosen = folds_of(config, labels, seed) == (config.fold or 0)
    return (~chosen).nonzero()[:, 0], chosen.nonzero()[:, 0]


def folds_of(config: Any, labels: Tensor, seed: int) -> Tensor:
    """Return the fold in which each example validates, int64 [N] from 0; ``labels`` is [N], on the CPU.

    Without ``shuffle``, folds are the book's contiguous blocks (book 4.10). With it, the examples are dealt to the
    folds in turn; with ``stratify`` class by class, so every fold has its share of each class. Raises Refused.
    """
    count = len(labels)
    check_folds(count, config.k)
    places = torch.arange(count)
    if not config.shuffle:
        return ((places + 1) * config.k - 1) // count  # the same blocks as ``block``
    order = torch.from_numpy(np.random.default_rng(seed).permutation(count))
    if config.stratify:
        order = order[labels[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, places % config.k)


def block(count: int, config: Any) -> tuple[int, int]:
    """Return start and end of one of K contiguous blocks; raises Refused. The book drops the remainder of N / K."""
    check_folds(count, config.k)
    number = config.fold or 0
    return count * number // config.k, count * (number + 1) // config.k


def check_folds(count: int, k: int) -> None:
    """Raise Refused if there are fewer examples, or characters, than folds."""
    if k > count:
        hint = "choose a smaller validation.k, or give more data"
        raise Refused(f"validation.k={k}: more folds than examples to train with ({count:,})", hint)
