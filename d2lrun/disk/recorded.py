"""Read runs and sweeps from disk as plain data. A damaged or unfinished run gets this status and raises no error."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from d2lrun.config import schema
from d2lrun.config.keys import VARIANTS
from d2lrun.config.metrics import is_finite, mean_and_std, split_of, spread_of
from d2lrun.counts import counted
from d2lrun.disk import files
from d2lrun.disk.rundir import FOLDS, RunDirectory, is_at_chance, notes_of, parse_yaml
from d2lrun.errors import Refused

DATA = "data"  # a key beside the config's keys: the fingerprint of the data
SHOWN = 6  # digits of the fingerprint
GIVE = "give directories that runs or sweeps printed, such as outputs/runs/fashion-mnist/mlp/*"


@dataclass
class Entry:
    """One run as read from disk: its flat config (None: not readable), status, metrics and records."""

    directory: Path
    status: str  # from result.json; else unfinished, damaged, or the status in sweep.json if there is no run yet
    config: dict[str, Any] | None = None
    metrics: dict[str, tuple[float | None, float | None]] = field(default_factory=dict)  # mean, std (of K folds)
    records: list[dict[str, Any]] = field(default_factory=list)  # of metrics.jsonl
    epochs: int | None = None
    seconds: float | None = None
    problem: str = ""
    measured: dict[str, list[str]] | None = None  # for each metric the fingerprints of the examples it was measured on
    notes: list[str] = field(default_factory=list)  # remarks about the metrics
    at_chance: bool = False
    parent: str | None = None  # directory of the run that it continues

    def mean(self, metric: str) -> float | None:
        """The value of a metric, of K folds the mean; None if it was not measured or is not finite."""
        return self.metrics.get(metric, (None, None))[0]

    @property
    def standing(self) -> str:
        """The status, with "at chance" if a finished run is no better than the best constant prediction."""
        return self.status + (", at chance" if self.at_chance else "")


def gather(words: Sequence[str]) -> list[Entry]:
    """Return the runs in the named directories; a sweep gives all of its jobs.

    Raises Refused, with all complaints, for a directory without a run or sweep and for a run that is named twice.
    """
    if not words:
        raise Refused("compare: nothing to compare", GIVE)
    entries, complaints = [], []
    seen: dict[Path, tuple[int, str]] = {}
    for place, word in enumerate(words):
        path = Path(word).expanduser()
        found = list(entries_of(path)) if (complaint := unfit(path)) is None else []
        if complaint:
            complaints.append(f"{word}: {complaint}")
        for entry in found:
            first, other = seen.setdefault(entry.directory.resolve(), (place, word))
            if first != place:
                complaints.append(f"{entry.directory}: named twice" + (f", it is in {other}" if other != word else ""))
        entries += found
    if complaints:
        several = f"{len(complaints)} of these cannot be compared"
        raise Refused(complaints[0] if len(complaints) == 1 else "\n  ".join([several, *complaints]), GIVE)
    return entries


def unfit(path: Path) -> str | None:
    """Return why there is nothing to compare at ``path``; None if it can be compared."""
    if not path.exists():
        return "no such directory"
    if not path.is_dir():
        return f"a file; wanted its directory: {path.parent}"
    if is_run(path) or is_sweep(path):
        return None
    deeper = sorted(
        {"/".join("*" * len(file.relative_to(path).parts[:-1])) for file in path.glob("*/*/**/config.yaml")}
    )
    return "neither a run nor a sweep" + (f"; it holds some, try {path}/{deeper[0]}" if deeper else "")


def is_run(path: Path) -> bool:
    """Whether the path is a run's directory; a K-fold run is one, too."""
    return any((path / name).is_file() for name in ("config.yaml", "result.json", "metrics.jsonl"))


def is_sweep(path: Path) -> bool:
    """Whether the path is a sweep's directory."""
    return (path / "sweep.json").is_file() or any(path.glob("*/config.yaml"))


def entries_of(path: Path) -> Iterator[Entry]:
    """Yield a run, or the jobs of a sweep: from sweep.json, else from the subdirectories that are runs."""
    sweep = read_json(path / "sweep.json")
    jobs = sweep.get("jobs") if isinstance(sweep, dict) else None
    if is_run(path) and not isinstance(jobs, list):
        yield read_run(path)
    elif isinstance(jobs, list):
        yield from (read_job(path, job) for job in jobs if isinstance(job, dict))
    else:
        yield from (read_run(folder) for folder in sorted(path.iterdir()) if folder.is_dir() and is_run(folder))


def read_job(sweep: Path, job: dict[str, Any]) -> Entry:
    """Read a job from its own directory; if there is none, from its row in sweep.json."""
    name = job.get("directory")
    folder = sweep / name if isinstance(name, str) and is_below(sweep, name) else None
    status = job["status"] if isinstance(job.get("status"), str) else "damaged"
    if folder and is_run(folder):
        entry = read_run(folder)
        if entry.status == "unfinished" and status not in ("finished", "pending"):
            entry.status = status  # failed, pruned, running: sweep.json is more exact
    else:
        told = job.get("values")
        values = told if isinstance(told, dict) else {}
        config = {f"{key}.name" if key in VARIANTS else key: value for key, value in values.items()}
        entry = Entry(folder or sweep / "?", status, config or None, metrics_of(job.get("metrics")))
    entry.problem = entry.problem or " ".join(str(job.get("error") or "").split())
    return entry


def is_below(parent: Path, name: str) -> bool:
    """Whether ``name`` is a folder inside ``parent``, so that a foreign sweep.json cannot lead outside."""
    try:
        return (parent / name).resolve() != parent.resolve() and (parent / name).resolve().is_relative_to(
            parent.resolve()
        )
    except (OSError, ValueError):
        return False


def read_run(path: Path) -> Entry:
    """Read a run's files; ``problem`` names each file that cannot be read."""
    run = RunDirectory(path)
    config = read_config(run)
    result = read_json(run.result_file)
    broken = [run.config_file.name] if config is None else []
    if run.result_file.exists() and not isinstance(result, dict):
        broken.append(run.result_file.name)
    folds = [read_run(folder) for folder in sorted(path.glob(FOLDS)) if is_run(folder)]
    records = run.records() or average([fold.records for fold in folds])
    result = result if isinstance(result, dict) else {}
    data = run.data() or {}
    if config is not None and "content" in data:
        config[DATA] = data["content"][:SHOWN]
    status = result["status"] if isinstance(result.get("status"), str) else "unfinished"
    problem = f"cannot read {' and '.join(broken)}" if broken else ""
    if folds and not result:
        problem = problem or f"{counted(sum(fold.status == 'finished' for fold in folds), 'fold')} finished"
    return Entry(
        directory=path,
        status="damaged" if broken else status,
        config=config,
        metrics=metrics_of(result.get("metrics")) or over_folds(folds) or last_metrics(records),
        records=records,
        epochs=result["epochs"] if is_finite(result.get("epochs")) else len(records),
        seconds=result["seconds"] if is_finite(result.get("seconds")) else seconds_of(records),
        problem=problem,
        measured=data.get("measured"),
        notes=notes_of(result),
        at_chance=status == "finished" and is_at_chance(result),
        parent=(run.parent() or {}).get("parent"),
    )


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it cannot be read."""
    try:
        return files.read_json(path)
    except (OSError, ValueError):
        return None


def read_config(run: RunDirectory) -> dict[str, Any] | None:
    """Return the flat config.yaml; None if it cannot be read."""
    try:
        data = parse_yaml(run.config_text())
        return schema.flatten(data) if isinstance(data, dict) else None
    except (OSError, ValueError, yaml.YAMLError):
        return None


def average(runs: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return the mean of the folds' records for each epoch that all folds have finished."""
    means = []
    for records in zip(*runs, strict=False):
        names = [key for key in records[0] if all(is_finite(record.get(key)) for record in records)]
        means.append({key: statistics.fmean(record[key] for record in records) for key in names})
    return means


def metrics_of(metrics: Any) -> dict[str, tuple[float | None, float | None]]:
    """{"val_loss": 0.4} or {"val_loss": {"mean": 0.4, "std": 0.1}} -> {"val_loss": (0.4, 0.1)}; null stays None."""
    found = {}
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        single = value.get("mean") if isinstance(value, dict) else value
        if single is None or is_finite(single):
            found[name] = mean_and_std(value)
    return found


def over_folds(folds: list[Entry]) -> dict[str, tuple[float | None, float | None]]:
    """Return mean and std over the finished folds, for the metrics that all of them have."""
    done = [fold.metrics for fold in folds if fold.status == "finished"]
    found = {}
    for name in done[0] if done else ():
        values = [metrics.get(name, (None, None))[0] for metrics in done]
        if None not in values:
            found[name] = spread_of(values)
    return found


def last_metrics(records: list[dict[str, Any]]) -> dict[str, tuple[float | None, float | None]]:
    """Return the metrics of the last epoch, without std."""
    last = records[-1] if records else {}
    return {name: (value, None) for name, value in last.items() if split_of(name)}


def seconds_of(records: list[dict[str, Any]]) -> float | None:
    """Return the sum of the epochs' seconds; None without an epoch."""
    return sum(record.get("seconds") or 0.0 for record in records) if records else None
