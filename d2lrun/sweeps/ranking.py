"""Group the runs of a sweep and rank the groups: by validation, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from d2lrun.config.metrics import direction, main_metric, mean_and_std, split_of, spread_of
from d2lrun.report import likeness
from d2lrun.report.likeness import Choice

REPEATS = ("seed", "validation.fold")  # runs that differ only in these keys are one group
UNRANKED = "not ranked: nothing was validated, and the test set must not choose; add validation=holdout or kfold"
UNLIKE = "not ranked: the runs were not measured on the same examples"


def grouped(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups of jobs that differ only in seed or fold, with mean and standard deviation of every metric.

    Each job gets the number of its group.
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
    """Return mean, sample standard deviation (divisor n − 1) and number of ``values``: numbers, null, or means."""
    numbers = [mean_and_std(value)[0] for value in values]
    if len(values) == 1 and isinstance(values[0], dict):  # a mean over K folds
        return {"std": None, **values[0], "mean": numbers[0]}
    mean, std = spread_of(numbers)
    return {"mean": mean, "std": std, "n": len(numbers)}


def measured_on(jobs: list[dict[str, Any]], group: dict[str, Any], metric: str | None) -> frozenset[str]:
    """Return the fingerprints that the metric of a group was measured on, over all its finished runs."""
    prints = [
        jobs[place].get("measured", {}).get(metric, ())
        for place in group["jobs"]
        if jobs[place]["status"] == "finished"
    ]
    return frozenset(each for found in prints for each in found)


def complete(groups: list[dict[str, Any]], metric: str | None) -> list[int]:
    """Return the groups whose runs have all finished and whose mean of ``metric`` is finite."""
    return [
        place
        for place, group in enumerate(groups)
        if metric in group["metrics"]
        and group["metrics"][metric]["mean"] is not None
        and group["finished"] == len(group["jobs"])
    ]


def best_of(
    jobs: list[dict[str, Any]], groups: list[dict[str, Any]], metric: str, candidates: list[int], choice: Choice
) -> dict[str, Any] | None:
    """Return the entry of sweep.json for the best of the groups ``candidates``; None if there is none."""
    if choice.first is None:
        return None
    first = candidates[choice.first]
    run = jobs[groups[first]["jobs"][0]]
    overrides = [text for text in run["overrides"] if text.partition("=")[0].lstrip("+") not in REPEATS]
    return {
        "group": first,
        "tied": [candidates[place] for place in choice.tied],
        "overrides": overrides,
        "directory": run["directory"],
        "metrics": groups[first]["metrics"],
    }


def unranked(jobs: list[dict[str, Any]], wanted: str | None) -> str | None:
    """Return why there is no ranking; None before a run has finished."""
    measured = sorted({name for job in jobs for name in job["metrics"] if split_of(name) == "val"})
    if wanted and measured:
        return f"not ranked: {wanted} was not measured; there is {', '.join(measured)}"
    return UNRANKED if any(job["status"] == "finished" for job in jobs) else None


def ranked(
    facts: dict[str, Any],
    jobs: list[dict[str, Any]],
    wanted: str | None,
    configs: Callable[[], Sequence[Mapping[str, Any]]] = list,
) -> dict[str, Any]:
    """Return the content of sweep.json: ``facts`` of the sweep, its jobs, their groups, and the best if ranked.

    ``configs`` returns the flat config of each job. It is called if the groups were not measured on the same examples,
    to name the keys that make them differ.
    """
    metric = main_metric({name for job in jobs for name in job["metrics"]}, wanted)
    groups = grouped(jobs)
    candidates = complete(groups, metric)
    sets = [measured_on(jobs, groups[place], metric) for place in candidates]
    may_rank = False
    chosen = None
    if metric is not None and likeness.alike(sets):
        may_rank = True
        sign = -1 if direction(metric) == "max" else 1
        values = [sign * groups[place]["metrics"][metric]["mean"] for place in candidates]
        lost = [all(jobs[job].get("at_chance") for job in groups[place]["jobs"]) for place in candidates]
        choice = likeness.choose(values, sets, lost)
        for place, found in zip(candidates, sets, strict=True):
            groups[place]["lacks"] = len(likeness.whole(sets) - found)
        chosen, note = best_of(jobs, groups, metric, candidates, choice), choice.why
    elif metric is None:
        note = unranked(jobs, wanted)
    else:
        of_jobs = configs()
        keys = likeness.causes(sets, [of_jobs[groups[place]["jobs"][0]] for place in candidates] if of_jobs else [])
        note = f"{UNLIKE}: {', '.join(keys) or 'the data themselves'} differs"
    return {
        **facts,
        "metric": metric,
        "direction": direction(metric) if metric else None,
        "ranked": may_rank,
        "note": note,
        "jobs": jobs,
        "groups": groups,
        "best": chosen,
        "notes": list(dict.fromkeys(note for job in jobs for note in job.get("notes", []))),
    }
