"""Check that a split can be trained and measured: once, before the first step, for all folds together.

Every subset needs an example, and the training part needs every class of the data. A refusal suggests a value that
works. N examples, K folds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.config import complaints
from d2lrun.config.keys import Config, Holdout, KFold
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.training.splits import folds_of, holdout

SEEDS = 2**32  # the seed after the largest is 0
DIGITS = 9  # most digits of a suggested fraction
REPEATS = 100  # repetitions of the folds that are checked first; each later one is checked before it trains
NAMED = 3  # most classes in a message
USUAL = 0.1  # the holdout fraction that is suggested instead of folds, if it works


def check_examples(config: Config, labels: Tensor, names: tuple[str, ...]) -> None:
    """Raise Refused, with a hint that works, if a subset of a dataset of examples cannot train or be measured.

    All K folds are checked, also if the config names one. ``labels`` [N] are the classes of the training examples,
    on the CPU, all 0 if there are none; ``names`` are the names of the classes.
    """
    if config.validation.name == "holdout":
        check_holdout(config.validation, labels, names, config.seed)
    elif config.validation.name == "kfold":
        check_folds(config.validation, config, labels, names)


def check_parts(
    config: Config, divide: Callable[[Any, int], tuple[Tensor, Any]], labels: Tensor, names: tuple[str, ...]
) -> None:
    """Raise Refused if a part of a split by a column has no example, or if its training part lacks a class."""
    validation: Any = config.validation
    folds = [replace(validation, fold=fold) for fold in range(validation.k)] if validation.name == "kfold" else None
    for fold, each in enumerate(folds or [validation]):
        train, val = divide(each, config.seed)
        lost = missing(labels, train)
        if lost or not len(val):
            wrong = f"would train on no example of {named(names, lost)}" if lost else "has no example to validate"
            column = validation.group or validation.time
            part = f"fold {fold}" if folds else "the holdout"
            raise Refused(f"{part}, split by {column}, {wrong}", "choose another fraction, k or column")


def rare(labels: Tensor, names: tuple[str, ...], k: int) -> str | None:
    """Return a line that names the classes with fewer than ``k`` of the ``labels`` [N]; None without any."""
    counts = labels.bincount(minlength=len(names))[: len(names)]
    few = torch.nonzero(counts < k).flatten().tolist()
    return f"fewer examples than folds (k={k}), so some folds validate none: {named(names, few)}" if few else None


def seed_of(config: Config, repeat: int) -> int:
    """Return the seed of a repetition of K folds, counted from 0."""
    return (config.seed + repeat) % SEEDS


def check_holdout(validation: Holdout, labels: Tensor, names: tuple[str, ...], seed: int) -> None:
    """Raise Refused if no example validates, or if a class has no example left to train."""
    side = balance(labels, validation.stratify, seed)(validation.fraction)
    if side == 0:
        return
    given = f"{complaints.shown('validation.fraction', validation.fraction)} of {counted(len(labels), 'example')}"
    classes = len(labels.unique())
    if side > 0:
        lost = missing(labels, holdout(validation, labels, seed)[0])
        wrong = f"no example of {named(names, lost)} to train" if classes > 1 else "none to train"
    else:
        share = f": each of {classes} classes keeps its share" if validation.stratify and classes > 1 else ""
        wrong = f"none to validate{share}"
    changes: list[list[tuple[str, Any]]] = [[]] if validation.stratify else [[], [("stratify", True)]]
    for change in changes:
        fraction = working(balance(labels, validation.stratify or bool(change), seed), validation.fraction)
        if fraction is not None:
            change = [*change, ("fraction", fraction)] if fraction != validation.fraction else change
            raise Refused(f"{given} leaves {wrong}", spelled(change))
    raise Refused(f"{given} leaves {wrong}", "give more examples, or validation=once: it holds none out")


def balance(labels: Tensor, stratify: bool, seed: int) -> Callable[[float], int]:
    """Return a function of the fraction: -1 if no example validates, 1 if a class has none left to train, else 0.

    The function is monotonic. ``labels`` is [N], on the CPU.
    """
    classes, inverse, counts = labels.unique(return_inverse=True, return_counts=True)
    if stratify:
        groups = [(count, count - 1) for count in counts.tolist()]  # size, and how many of it may validate
    else:
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        last = torch.zeros_like(classes).scatter_reduce_(0, inverse[order], torch.arange(len(labels)), "amax")
        groups = [(len(labels), int(last.min()))]  # the first of ``order`` validate

    def side(fraction: float) -> int:
        held = [(round(size * fraction), most) for size, most in groups]
        if any(number > most for number, most in held):
            return 1
        return 0 if any(number for number, _ in held) else -1

    return side


def check_folds(validation: KFold, config: Config, labels: Tensor, names: tuple[str, ...]) -> None:
    """Raise Refused if a fold has no example, or if its training part lacks a class."""
    if (fault := fault_of_folds(validation, config, labels, names)) is None:
        return
    changes: list[tuple[str, Any]] = [("k", len(labels))] if 2 <= len(labels) < validation.k else []
    mixed = [(key, True) for key in ("shuffle", "stratify") if not getattr(validation, key)]
    for change in (changes, [*changes, *mixed]):
        if fault_of_folds(replace(validation, **dict(change)), config, labels, names) is None:
            raise Refused(fault, spelled(change))
    fraction = working(balance(labels, True, config.seed), USUAL)
    other = "validation=once" if fraction is None else f"validation=holdout validation.fraction={fraction}"
    raise Refused(fault, f"{other}, or two examples of every class at least")


def fault_of_folds(validation: KFold, config: Config, labels: Tensor, names: tuple[str, ...]) -> str | None:
    """Return the problem of the first fold that cannot be trained or measured; None if there is none."""
    classes, inverse = labels.unique(return_inverse=True)
    for repeat in range(min(validation.repeats, REPEATS)):
        try:
            folds = folds_of(validation, labels, seed_of(config, repeat))
        except Refused as refusal:
            return str(refusal)
        first, last = (
            torch.zeros_like(classes).scatter_reduce_(0, inverse, folds, how, include_self=False)
            for how in ("amin", "amax")
        )
        if (alone := (first == last).nonzero()[:, 0]).numel():
            fold = int(first[alone].min())
            lost = classes[alone[first[alone] == fold]].tolist()
            return f"fold {fold} of {validation.k} would train on no example of {named(names, lost)}: it validates all"
        if validation.stratify or not validation.shuffle:
            break  # the number of a class in a fold does not depend on the seed
    return None


def missing(labels: Tensor, train: Tensor) -> list[int]:
    """Return the classes of ``labels`` [N] that do not occur at the indices ``train`` [n]."""
    return sorted({*labels.tolist()} - {*labels[train].tolist()})


def named(class_names: tuple[str, ...], classes: list[int]) -> str:
    """Return 'class shirt' or '3 classes (shirt, coat, …)'."""
    names = [class_names[label] for label in classes]
    if len(names) == 1:
        return f"class {names[0]}"
    return (
        f"{counted(len(names), 'class', 'classes')} ({', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''})"
    )


def spelled(change: list[tuple[str, Any]]) -> str:
    """Return keys of the group ``validation`` as typed on the command line."""
    return " ".join(complaints.shown(f"validation.{key}", value) for key, value in change)


# --- the value that works --------------------------------------------------------------------------------------------


def working(side: Callable[[float], int], wanted: float) -> float | None:
    """Return the fraction nearest to ``wanted`` with ``side(fraction) == 0``, with two digits if possible; or None.

    ``side`` is monotonic: -1 if the fraction is too small, 1 if it is too large.
    """
    wrong, found = side(wanted), None
    if wrong == 0:
        return wanted
    for digits in range(1, DIGITS + 1):
        scale = 10**digits

        def scaled(number: int, scale: int = scale) -> int:
            return side(number / scale)

        numerator = nearest(range(1, scale), scaled, wrong)
        if numerator is not None:
            found = numerator / scale
            if 10 <= numerator <= scale - 10:
                break
    return found


def nearest(values: range, side: Callable[[int], int], wrong: int) -> int | None:
    """Return the first value that is large enough if ``wrong`` is -1, or the last that is small enough if it is 1."""
    place = bisect_left(values, 0, key=side) if wrong < 0 else bisect_right(values, 0, key=side) - 1
    return values[place] if 0 <= place < len(values) and side(values[place]) == 0 else None
