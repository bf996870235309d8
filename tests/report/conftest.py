"""A sweep's sweep.json without a sweep: made up, but of the same form."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest

TOGETHER = ("seed", "validation.fold")


@pytest.fixture(scope="session")
def make_sweep():
    return build_sweep


def build_sweep(keys, score=None, failed=(), kfold=False, metric="val_accuracy", direction="max", name="lr", **changes):
    """``keys`` is {key: values}; ``score(values)`` is the accuracy; ``failed``: numbers of jobs, or {number: status}.

    Each job has an error of 1 - accuracy as its losses; a job of a K-fold sweep has mean and std.
    """
    failed = dict.fromkeys(failed, "diverged") if not isinstance(failed, dict) else failed
    jobs = []
    for number, combination in enumerate(itertools.product(*keys.values())):
        values = dict(zip(keys, combination, strict=True))
        status = failed.get(number, "finished")
        jobs.append(
            {
                "overrides": [f"{key}={value}" for key, value in values.items()],
                "values": values,
                "directory": f"job-{number:016x}",
                "status": status,
                "metrics": metrics_of(number, (score or default_score)(values), kfold) if status == "finished" else {},
                "epochs": 2 if status == "finished" else 0,
                "seconds": 1.8 if status == "finished" else 0.1,
                "error": "diverged: loss nan at epoch 1,\nstep 7, lr 3" if status in ("failed", "diverged") else None,
            }
        )
    groups = grouped(jobs)
    sweep = {
        "name": name,
        "engine": "grid",
        "command": "d2lrun -m " + " ".join(f"{key}={','.join(map(str, each))}" for key, each in keys.items()),
        "keys": list(keys),
        "metric": metric,
        "direction": direction,
        "ranked": True,
        "note": None,
        "jobs": jobs,
        "groups": groups,
        "best": best_of(groups, metric, direction),
        "rerun": "d2lrun -m sweep.name=lr",
    }
    return {**sweep, **changes}


def default_score(values):
    numbers = [value for value in values.values() if isinstance(value, (int, float))]
    return 0.8 + 0.1 * math.sin(sum(numbers) + len(str(values)))


def metrics_of(number, accuracy, kfold):
    wobble = 0.004 * math.cos(number)
    single = {
        **{"train_loss": 0.9 - accuracy + wobble, "train_accuracy": accuracy + 0.02 + wobble},
        **{"val_loss": 1.0 - accuracy + wobble, "val_accuracy": accuracy + wobble, "examples_per_second": 90_000.0},
    }
    return {name: {"mean": value, "std": 0.012} for name, value in single.items()} if kfold else single


def grouped(jobs):
    groups = {}
    for number, job in enumerate(jobs):
        values = {key: value for key, value in job["values"].items() if key not in TOGETHER}
        group = groups.setdefault(str(values), {"values": values, "jobs": []})
        group["jobs"].append(number)
        job["group"] = list(groups).index(str(values))
    for group in groups.values():
        done = [jobs[job]["metrics"] for job in group["jobs"] if jobs[job]["status"] == "finished"]
        group["finished"] = len(done)
        group["metrics"] = {name: together([each[name] for each in done]) for name in (done[0] if done else {})}
    return list(groups.values())


def together(values):
    if isinstance(values[0], dict):
        return {**values[0], "n": 5}
    std = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.mean(values), "std": std, "n": len(values)}


def best_of(groups, metric, direction):
    found = [number for number, group in enumerate(groups) if metric in group["metrics"]]
    if not found:
        return None
    choose = max if direction == "max" else min
    best = choose(found, key=lambda number: groups[number]["metrics"][metric]["mean"])
    overrides = [f"{key}={value}" for key, value in groups[best]["values"].items()]
    return {"group": best, "overrides": overrides, "metrics": groups[best]["metrics"]}
