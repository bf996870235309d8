"""The split of a series in time: a part is a span of times whose values it predicts. N values, n of them train.

A window reads the values before the one that it predicts. So the first windows of validation and test read the end of
the part before them, and no window of training holds a value that validation or test predicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from d2lrun.config import complaints
from d2lrun.config.keys import Config
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.training.split_check import nearest, spelled, working


class Spans(NamedTuple):
    """The times that each part predicts, from one and up to another; None if there is no such part."""

    train: tuple[int, int]
    val: tuple[int, int] | None
    test: tuple[int, int] | None


def spans_of(validation: Any, tau: int, train: int, count: int) -> Spans:
    """Return the spans of a series of ``count`` values, of which the first ``train`` may train.

    holdout: the last values of the training part validate. kfold: the training part is cut into K + 1 blocks; fold i
    validates block i + 1 and trains on all values before it (forward chaining), and never uses the test values.
    The spans of val and test do not depend on ``tau``, so windows of any length are measured on the same values.
    """
    if validation.name == "holdout":
        cut = train - round(train * validation.fraction)
        return Spans((tau, cut), (cut, train), (train, count))
    if validation.name == "kfold":
        start, end = (train * (block + (validation.fold or 0)) // (validation.k + 1) for block in (1, 2))
        return Spans((tau, start), (start, end), None)
    return Spans((tau, train), None, (train, count))


def fault_of(validation: Any, tau: int, train: int) -> tuple[str | None, int]:
    """Return the part that is too short, and its number of values; (None, 0) if each has enough.

    Of K folds, the first has the shortest training part; the blocks differ by at most one value.
    """
    first = replace(validation, fold=0) if validation.name == "kfold" else validation
    spans = spans_of(first, tau, train, train + 1)
    if spans.train[1] <= tau:
        return "train", spans.train[1]
    if spans.val is not None and spans.val[0] == spans.val[1]:
        return "val", 0
    return None, 0


def check_series(config: Config, tau: int, train: int) -> None:
    """Raise Refused, with a hint that works, if a part of any fold has no window to train on or no value to predict."""
    validation = config.validation
    part, left = fault_of(validation, tau, train)
    if part is None:
        return
    key = {"holdout": "fraction", "kfold": "k"}.get(validation.name)
    given = f"{complaints.shown(f'validation.{key}', getattr(validation, key))} of " if key else ""
    if part == "val":
        wrong = "leaves none to validate"
    else:
        wrong = f"leaves {left:,} to train" if key else "to train"
        wrong += f", too few for a window of {complaints.shown('dataset.tau', tau)} and the value after it"
    hints = []
    if key and (value := working_value(key, validation, tau, train)) is not None:
        hints.append(spelled([(key, value)]))
    if part == "train" and left > 1 and fault_of(validation, left - 1, train)[0] is None:
        hints.append(complaints.shown("dataset.tau", left - 1))
    raise Refused(f"{given}{counted(train, 'value')} {wrong}", "; or ".join([*hints, "a longer series"]))


def working_value(key: str, validation: Any, tau: int, train: int) -> Any:
    """Return the value of ``key`` nearest to the given one that leaves enough for each part; None if there is none."""

    def side(value: float) -> int:
        """Return 1 if the value is too large, -1 if it is too small, else 0."""
        change: dict[str, Any] = {key: value}
        part, _ = fault_of(replace(validation, **change), tau, train)
        return {None: 0, "train": 1, "val": -1}[part]

    if key == "fraction":
        return working(side, validation.fraction)
    return nearest(range(2, max(validation.k, 2) + 1), side, side(validation.k))
