"""A sweep as plain data: its jobs, their folders, and their results.

The name of a run's folder is made from the content of its config, so that values of a sweep can be added, removed and
reordered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from d2lrun.config import schema
from d2lrun.config.compose import parse_override
from d2lrun.config.keys import Config, Grid, Search
from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory, begins_as_ours, config_hash, names_in, read_object
from d2lrun.errors import InUse, Refused
from d2lrun.report.text import counted
from d2lrun.sweeps.job import ENDED, SPOILED
from d2lrun.sweeps.ranking import ranked

# The first bytes of the files that a sweep's folder may hold before its first sweep.json and its first run.
BEGINNINGS = {
    ".stop": rb"\Z",
    ".study.lock": rb"\Z",
    ".study.lock.holder": rb"process ",
    "study.db": rb"SQLite format 3\0",
    "study.db-journal": rb"",
}


@dataclass
class Job:
    """One run of a sweep: its own overrides, as typed, and its whole config."""

    overrides: list[str]
    config: Config

    def __post_init__(self) -> None:
        self.earlier = self.directory.result()  # its result before this sweep began

    def tried_meanwhile(self) -> bool:
        """Whether another process has tried it meanwhile and failed: it would also fail here."""
        result = self.directory.result()
        return result is not None and result.get("status") in SPOILED and result != self.earlier

    @property
    def directory(self) -> RunDirectory:
        """The run's directory."""
        return RunDirectory(Path(self.config.run.folder))

    @property
    def spoiled(self) -> bool:
        """Whether the run ended without a result."""
        return (self.directory.result() or {}).get("status") in SPOILED

    def is_held(self) -> bool:
        """Whether a process trains it now; after a kill, no process does."""
        if not self.directory.held():
            return False
        try:
            with files.lock(self.directory.lock_file):
                return False
        except InUse:
            return True

    @property
    def ended(self) -> bool:
        """Whether the run has ended and is not continued."""
        return (self.directory.result() or {}).get("status") in ENDED

    @property
    def values(self) -> dict[str, Any]:
        """The values of the overrides, by key."""
        parsed = map(parse_override, self.overrides)
        return {override.key_or_group: override.value() for override in parsed}


@dataclass
class Sweep:
    """The jobs of a sweep, and its folder."""

    directory: Path
    command: str
    settings: Grid | Search
    keys: list[str]
    jobs: list[Job] = field(default_factory=list)
    refit: bool = False  # whether the best setting is trained on all examples at the end
    chosen: Job | None = None  # the job of the refit
    elsewhere: int = 0  # number of runs that are not on this machine
    contents: dict[str, str | None] = field(default_factory=dict)  # fingerprints of data by their part of the config
    missing: list[str] = field(default_factory=list)  # pictures that could not be drawn, and why

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of sweep.json, from the ``job.row_of`` of every job."""
        facts = {
            "name": self.directory.name,
            "engine": self.settings.engine,
            "command": self.command,
            "keys": self.keys,
        }
        found = ranked(facts, rows, self.settings.metric, partial(self.configs, rows))
        if self.refit and found["note"] and not found["best"]:
            found["note"] += "; nothing is refit"
        return found | {"rerun": self.command}

    def configs(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the flat config of the job of each row, without the keys for place and device."""
        found = {os.path.relpath(job.config.run.folder, self.directory): job.config for job in self.jobs}
        flat = (schema.flatten(schema.to_dict(found[row["directory"]])) for row in rows)
        return [{key: each[key] for key in each if not key.startswith(("run.", "sweep."))} for each in flat]

    def foreseen(self) -> list[tuple[list[str], Config]]:
        """Return the overrides and the config of each planned run that is not finished."""
        return [(job.overrides, job.config) for job in self.jobs if not job.directory.finished()]

    def opening(self) -> str:
        """Return '12 runs: 5 finished, 1 to continue, 6 new, in outputs/sweeps/…'."""
        finished = sum(job.directory.finished() for job in self.jobs)
        begun = sum(job.directory.begun() for job in self.jobs) - finished
        new = len(self.jobs) - finished - begun
        parts = [f"{finished} finished", f"{begun} to continue", f"{new} new"]
        return f"{counted(len(self.jobs), 'run')}: {', '.join(parts)}, in {self.directory}"


def check_splits(sweep: Sweep) -> None:
    """Check the split of each run that is not finished, once for all folds of a split; raises Refused.

    Data that cannot be loaded are skipped: their run reports them.
    """
    from d2lrun import datasets

    checked = set()
    for overrides, config in sweep.foreseen():
        if config.validation.name not in ("holdout", "kfold"):
            continue
        whole = replace(config.validation, fold=None) if config.validation.name == "kfold" else config.validation
        key = repr((whole, config.dataset, config.model.name, config.train.batch_size, config.seed))
        if key in checked:
            continue
        checked.add(key)
        try:
            data = datasets.load(config.dataset)
        except Refused:
            continue
        try:
            data.check_split(config)
        except Refused as refusal:
            which = f"{' '.join(overrides)}: " if overrides else ""
            raise Refused(f"{which}{refusal}", refusal.hint) from refusal


def refuse_strangers(sweep: Sweep) -> None:
    """Raise Refused if the folder of the sweep or of a run holds files that d2lrun did not write. It only reads."""
    names = names_in(sweep.directory)
    if not is_sweeps(sweep.directory, names):
        unknown = [name for name in names if not begins_as_ours(sweep.directory / name, BEGINNINGS)]
        folders = {name for name in unknown if (sweep.directory / name).is_dir()}
        if found := [
            name for name in unknown if name not in folders or RunDirectory(sweep.directory / name).strangers()
        ]:
            raise Refused(
                f"{sweep.directory} is not empty and not a sweep's: it holds {', '.join(found[:3])}",
                "choose another folder with sweep.name=NAME or run.root=FOLDER",
            )
    for job in sweep.jobs:
        job.directory.refuse_strangers()


def is_sweeps(folder: Path, names: list[str]) -> bool:
    """Whether a folder that holds ``names`` is a sweep's: it has a sweep.json, or a run named by its content."""
    summary = read_object(folder / "sweep.json") or {}
    return {"engine", "command", "jobs"} <= summary.keys() or any(is_named_by_content(folder / name) for name in names)


def is_named_by_content(folder: Path) -> bool:
    """Whether the name of the folder has the hash of its run's config, as ``placed`` makes it."""
    directory = RunDirectory(folder)
    named = (directory.result() or {}).get("config_hash")
    if not named and folder.is_dir():
        with contextlib.suppress(Refused):
            named = config_hash(directory.load_config())
    return isinstance(named, str) and f"-{named}" in folder.name


def placed(sweep: Sweep, config: Config) -> Config:
    """Return the config with its folder in the sweep, named by the content of the config and of its data.

    A run of an earlier version, whose folder name does not include its data, keeps its folder.
    """
    stem = sweep.directory / f"{config.model.name}-seed{config.seed}"
    data = data_of(sweep, config)
    named = f"{stem}-{content(sweep, config)}"
    path = Path(f"{named}-{data[:6]}") if data else begun_as(named)
    if sweep.directory.is_dir() and not path.exists():
        earlier = RunDirectory(Path(f"{stem}-{content(sweep, config, schema.EARLIER)}"))
        if earlier.begun() and (earlier.data() or {}).get("content", data) == data:
            path = earlier.path
    place = replace(config.run, dir=str(path), name=None, pictures=sweep.settings.pictures)
    return replace(config, run=place)


def begun_as(named: str) -> Path:
    """Return the folder of a run whose data cannot be read: the folder of the only run with this name, if any."""
    found = [path for path in Path(named).parent.glob(f"{Path(named).name}-??????") if RunDirectory(path).begun()]
    return found[0] if len(found) == 1 else Path(named)


def adopt(jobs: list[Job]) -> None:
    """Record the present data for runs that an earlier version finished without a record."""
    from d2lrun.runs import kfold

    for job in jobs:
        if job.directory.finished() and job.directory.data() is None:
            with contextlib.suppress(Refused):  # the data cannot be read now
                kfold.adopt(job.config, job.directory)


def content(sweep: Sweep, config: Config, ignored: tuple[str, ...] = schema.CIRCUMSTANCES) -> str:
    """Return the identity of a run in the sweep: a hash of its config and of other swept keys, such as dataset.path."""
    values = schema.flatten(schema.to_dict(config))
    counted = [f"{key}={values[key]}" for key in sorted(sweep.keys) if schema.among(key, ignored)]
    digest = hashlib.sha256("\n".join(counted).encode()).hexdigest()[:6]
    return config_hash(config, ignored) + (f"-{digest}" if counted else "")


def data_of(sweep: Sweep, config: Config) -> str | None:
    """Return the fingerprint of the data that a run reads; None if they cannot be read, which the run reports."""
    from d2lrun import datasets
    from d2lrun.runs import identity

    key = json.dumps(asdict(config.dataset))
    if key not in sweep.contents:
        try:
            sweep.contents[key] = identity.contents(datasets.load(config.dataset))["content"]
        except Refused:
            sweep.contents[key] = None
    return sweep.contents[key]


def without_refit(configs: list[Config]) -> tuple[bool, list[Config]]:
    """Return whether a refit is wanted, and the configs without it: only the best setting is refit, at the end."""
    asked = any(getattr(config.validation, "refit", False) for config in configs)
    return asked, [
        replace(config, validation=replace(config.validation, refit=False))
        if config.validation.name == "kfold"
        else config
        for config in configs
    ]
