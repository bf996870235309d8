"""The names of metrics: the split that a metric was measured on, and its better direction.

A metric has the name <split>_<name>, such as val_accuracy. In the files of K folds its value is
{"mean": …, "std": …}.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile, zip_longest
from typing import Any, TypeGuard

from d2lrun.config.tables import TASKS

SPLITS = ("train", "val", "test")
SPEED = "_per_second"  # the end of the name of a speed
FALLBACK = "loss"  # ranks if a task measured none of the metrics that it names before
RANKING = tuple(
    dict.fromkeys(name for task in TASKS.values() for name in takewhile(lambda name: name != FALLBACK, task.metrics))
)
SHORT = {"accuracy": "acc", "perplexity": "ppl"}  # names for a narrow terminal


def split_of(metric: str) -> str | None:
    """Return the split that a metric was measured on, one of SPLITS; None for a speed and similar values."""
    split, _, name = metric.partition("_")
    return split if split in SPLITS and name else None


def name_of(metric: str) -> str:
    """Return the name without the split: accuracy of val_accuracy."""
    return metric.partition("_")[2] if split_of(metric) else metric


def speeds(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Return [("examples", 212345.0)]: each unit and its number per second."""
    return [(name.removesuffix(SPEED), value) for name, value in metrics.items() if name.endswith(SPEED)]


def direction(metric: str) -> str:
    """Return "max" if a larger value is better, else "min", by the table TASKS."""
    if metric.endswith(SPEED):
        return "max"
    directions = {name: way for task in TASKS.values() for name, way in (task.metrics | task.final).items()}
    return directions.get(name_of(metric), "min")


def validated(tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the validation metrics of these tasks: ranking metrics first, then in the order of the table."""
    rows = zip_longest(*(TASKS[task].metrics for task in dict.fromkeys(tasks)))
    names = [name for row in rows for name in row if name is not None]
    return tuple(dict.fromkeys(f"val_{name}" for name in sorted(names, key=lambda name: name not in RANKING)))


def main_metric(measured: Collection[str], wanted: str | None) -> str | None:
    """Return the measured metric for the ranking; None if no validation metric, or not ``wanted``, was measured."""
    return next((name for name in ((wanted,) if wanted else validated(TASKS)) if name in measured), None)


def better_first(metric: str) -> int:
    """Return the sign for sorting values of a metric, the best first."""
    return -1 if direction(metric) == "max" else 1


def mean_and_std(value: Any) -> tuple[float | None, float | None]:
    """Return a metric as (mean, std); the std of a single number is None, like a value that is not finite."""
    mean, std = (value.get("mean"), value.get("std")) if isinstance(value, dict) else (value, None)
    return finite(mean), finite(std)


def spread_of(values: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (by n − 1) of numbers; (None, None) if one is None, no std of a single one."""
    from statistics import fmean, stdev

    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None, None
    return fmean(known), stdev(known) if len(known) > 1 else None


def finite(value: Any) -> float | None:
    """Return the value if it is a finite number, else None."""
    return value if is_finite(value) else None


def is_finite(value: Any) -> TypeGuard[float]:
    """Whether the value is a finite number in the range of a float; not a bool, not NaN."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
