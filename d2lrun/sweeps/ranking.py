"""Which runs of a sweep belong together, and which of them is the best: by validation, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from statistics import fmean, stdev
from typing import Any

# What validation measures of a kind of dataset; log-RMSE of prices alone.
MEASURED = {
    "images": ("val_accuracy", "val_loss"),
    "text": ("val_perplexity", "val_loss"),
    "table": ("val_log_rmse", "val_loss"),
}
MAIN = tuple(dict.fromkeys(name for names in zip(*MEASURED.values()) for name in names))  # the first there is ranks
REPEATS = ("seed", "validation.fold")  # runs that differ in these alone are one group
UNRANKED = "not ranked: nothing was validated, and the test set must not choose; add validation=holdout or kfold"
UNLIKE = "not ranked: the runs were not measured on the same examples"


def direction(metric: str) -> str:
    """Whether more of it is better ("max") or less ("min")."""
    return "max" if metric.endswith("accuracy") else "min"


def main_metric(jobs: Sequence[dict[str, Any]], wanted: str | None) -> str | None:
    """The metric that ranks, None where there is none of validation."""
    measured = {name for job in jobs for name in job["metrics"]}
    return next((name for name in ((wanted,) if wanted else MAIN) if name in measured), None)


def grouped(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The groups of jobs that differ only in seed or fold, with mean and standard deviation of every metric.

    Each job is told its group.
    """
    groups: dict[str, dict[str, Any]] = {}
    for place, job in enumerate(jobs):
        values = {key: value for key, value in job["values"].items() if key not in REPEATS}
        group = groups.setdefault(json.dumps(values, sort_keys=True), {"values": values, "jobs": []})
        group["jobs"].append(place)
        job["group"] = list(groups).index(json.dumps(values, sort_keys=True))
    for group in groups.values():
        members = [jobs[place] for place in group["jobs"]]
        done = [job["metrics"] for job in members if job["status"] == "finished"]
        group["finished"] = len(done)
        group["metrics"] = {name: spread([metrics.get(name) for metrics in done]) for name in (done[0] if done else ())}
    return list(groups.values())


def spread(values: list[Any]) -> dict[str, Any]:
    """Mean, sample standard deviation (by n − 1) and number of ``values``, each a number, null or a mean itself."""
    numbers = [number(value) for value in values]
    if len(values) == 1 and isinstance(values[0], dict):  # of K folds
        return {"std": None, **values[0], "mean": numbers[0]}
    known = None not in numbers
    std = stdev(numbers) if known and len(numbers) > 1 else None
    return {"mean": fmean(numbers) if known else None, "std": std, "n": len(numbers)}


def number(value: Any) -> float | None:
    """A metric, or the mean of one; None where a file holds no finite number for it."""
    mean = value.get("mean") if isinstance(value, dict) else value
    return mean if isinstance(mean, (int, float)) and isfinite(mean) else None


def best(jobs: list[dict[str, Any]], groups: list[dict[str, Any]], metric: str | None) -> dict[str, Any] | None:
    """The group with the best mean of ``metric``, of those whose runs have all finished; None where nothing ranks."""
    candidates = [
        (group["metrics"][metric]["mean"], place)
        for place, group in enumerate(groups)
        if metric in group["metrics"]
        and group["metrics"][metric]["mean"] is not None
        and group["finished"] == len(group["jobs"])
    ]
    if metric is None or not candidates:
        return None
    sign = -1 if direction(metric) == "max" else 1
    _, place = min(candidates, key=lambda each: (sign * each[0], each[1]))
    first = jobs[groups[place]["jobs"][0]]
    overrides = [text for text in first["overrides"] if text.partition("=")[0].lstrip("+") not in REPEATS]
    return {
        "group": place,
        "overrides": overrides,
        "directory": first["directory"],
        "metrics": groups[place]["metrics"],
    }


def unranked(jobs: list[dict[str, Any]], wanted: str | None) -> str | None:
    """Why nothing ranks; None before anything has finished."""
    measured = sorted({name for job in jobs for name in job["metrics"] if name.startswith("val_")})
    if wanted and measured:
        return f"not ranked: {wanted} was not measured; there is {', '.join(measured)}"
    return UNRANKED if any(job["status"] == "finished" for job in jobs) else None


def ranked(
    facts: dict[str, Any], jobs: list[dict[str, Any]], wanted: str | None, unlike: Sequence[str] = ()
) -> dict[str, Any]:
    """The content of sweep.json: ``facts`` of the sweep, its jobs, their groups, and the best where one may choose.

    ``unlike`` are the keys by which the runs do not measure the same: then no one is the best.
    """
    metric = main_metric(jobs, wanted)
    groups = grouped(jobs)
    note = f"{UNLIKE}: {', '.join(unlike)} differs" if unlike else unranked(jobs, wanted)
    may_rank = metric is not None and not unlike
    return {
        **facts,
        "metric": metric,
        "direction": direction(metric) if metric else None,
        "ranked": may_rank,
        "note": None if may_rank else note,
        "jobs": jobs,
        "groups": groups,
        "best": best(jobs, groups, metric) if may_rank else None,
    }
