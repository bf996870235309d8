"""Split examples into training and validation: a pure function of their classes and the seed. N examples, K folds."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.counts import counted
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


def grouped(config: Any, labels: Tensor, groups: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices that train [n] and validate [m], so that all examples of a group are on one side.

    ``labels`` and ``groups`` are int64 [n + m], on the CPU. Groups are dealt to the folds, or to the two parts of a
    holdout, so that each has about its share of the examples, and with ``stratify`` of each class. Raises Refused.
    """
    names, places = groups.unique(return_inverse=True)
    folds = config.name == "kfold"
    if folds and config.k > len(names):
        given = f"validation.k={config.k}: more folds than groups ({len(names):,} in {config.group})"
        raise Refused(given, f"validation.k={len(names)}" if len(names) > 1 else "name a column with several groups")
    classes = labels.unique(return_inverse=True)[1] if config.stratify else torch.zeros_like(labels)
    counts = np.zeros((len(names), int(classes.max()) + 1))
    np.add.at(counts, (places.numpy(), classes.numpy()), 1)
    shares = [1 / config.k] * config.k if folds else [1 - config.fraction, config.fraction]
    chosen = torch.from_numpy(deal(counts, shares, seed if getattr(config, "shuffle", True) else None))[places]
    validates = chosen == ((config.fold or 0) if folds else 1)
    return (~validates).nonzero()[:, 0], validates.nonzero()[:, 0]


def deal(counts: np.ndarray, shares: list[float], seed: int | None) -> np.ndarray:
    """Return the part int64 [G] of each group, of which ``counts`` [G, C] has the examples of each class.

    Large groups are dealt first, each to the part that is then nearest to its share of each class. Groups of about the
    same size are in an order by ``seed``, or as they are if it is None.
    """
    order = np.arange(len(counts)) if seed is None else np.random.default_rng(seed).permutation(len(counts))
    sizes = np.frexp(counts[order].sum(axis=1))[1]  # powers of 2
    total, filled = counts.sum(axis=0), np.zeros((len(shares), counts.shape[1]))
    found = np.empty(len(counts), dtype=np.int64)
    for group in order[np.argsort(-sizes, kind="stable")]:
        more = ((2 * filled + counts[group]) * counts[group] / total**2).sum(axis=1) / shares  # of the squared shares
        found[group] = more.argmin()
        filled[found[group]] += counts[group]
    return found


def in_time(config: Any, times: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices that train [n] and validate [m]: all that train are before all that validate.

    Examples with the same time stay together. Of K folds, fold i trains on the first i + 1 of K + 1 parts of about the
    same size and validates on the next one. ``times`` float64 [N], on the CPU. Raises Refused.
    """
    count, ordered = len(times), times.sort().values
    if config.name == "kfold":
        fold = config.fold or 0
        first, last = (count * (fold + more) // (config.k + 1) for more in (1, 2))
    else:
        first, last = count - round(count * config.fraction), count
    before = times < ordered[min(first, count - 1)]
    validates = ~before if last >= count else ~before & (times < ordered[last])
    if not before.any() or not validates.any():
        given = f"validation.time={config.time}: too few different times to cut {counted(count, 'row')}"
        raise Refused(given, "choose a smaller validation.k, another fraction, or another column")
    return before.nonzero()[:, 0], validates.nonzero()[:, 0]


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
