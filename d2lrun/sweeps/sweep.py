"""Many runs in one directory, as plain data: what is to be done, where, and what it has come to.

A run's folder is named by the content of its config, so that values of a sweep can be added, removed and put in
another order.
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

# How the files begin that a sweep's folder may hold before its first sweep.json and before its first run.
BEGINNINGS = {
    ".stop": rb"\Z",
    ".study.lock": rb"\Z",
    ".study.lock.holder": rb"process ",
    "study.db": rb"SQLite format 3\0",
    "study.db-journal": rb"",
}


@dataclass
class Job:
    """One run of a sweep: what sets it apart, as it was typed, and its whole config."""

    overrides: list[str]
    config: Config

    def __post_init__(self) -> None:
        self.earlier = self.directory.result()  # how it ended before this sweep began

    def tried_meanwhile(self) -> bool:
        """Whether another process has had it in the same time, in vain: it would fail here as well."""
        result = self.directory.result()
        return result is not None and result.get("status") in SPOILED and result != self.earlier

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(Path(self.config.run.dir))

    @property
    def spoiled(self) -> bool:
        return (self.directory.result() or {}).get("status") in SPOILED

    def is_held(self) -> bool:
        """Whether a process trains it now; after a kill none does."""
        if not self.directory.held():
            return False
        try:
            with files.lock(self.directory.lock_file):
                return False
        except InUse:
            return True

    @property
    def ended(self) -> bool:
        return (self.directory.result() or {}).get("status") in ENDED

    @property
    def values(self) -> dict[str, Any]:
        parsed = map(parse_override, self.overrides)
        return {override.key_or_group: override.value() for override in parsed}


@dataclass
class Sweep:
    """What is to be done, and where."""

    directory: Path
    command: str
    settings: Grid | Search
    keys: list[str]
    jobs: list[Job] = field(default_factory=list)
    refit: bool = False  # whether the best setting is wanted on everything in the end
    chosen: Job | None = None  # which that is
    elsewhere: int = 0  # runs of it that are not on this machine
    contents: dict[str, str | None] = field(default_factory=dict)  # fingerprints of data by their part of the config
    missing: list[str] = field(default_factory=list)  # pictures that could not be drawn, and why

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of sweep.json, from what ``job.row_of`` returns of every job."""
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
        """The flat config of the job of each row, without where it runs."""
        found = {os.path.relpath(job.config.run.dir, self.directory): job.config for job in self.jobs}
        flat = (schema.flatten(schema.to_dict(found[row["directory"]])) for row in rows)
        return [{key: each[key] for key in each if not key.startswith(("run.", "sweep."))} for each in flat]

    def foreseen(self) -> list[tuple[list[str], Config]]:
        """The overrides and the config of each run that is known beforehand and not finished."""
        return [(job.overrides, job.config) for job in self.jobs if not job.directory.finished()]

    def opening(self) -> str:
        """'12 runs: 5 finished, 1 goes on, 6 new, in outputs/sweeps/…'."""
        finished = sum(job.directory.finished() for job in self.jobs)
        begun = sum(job.directory.begun() for job in self.jobs) - finished
        new = len(self.jobs) - finished - begun
        parts = [f"{finished} finished", f"{begun} to go on with", f"{new} new"]
        return f"{counted(len(self.jobs), 'run')}: {', '.join(parts)}, in {self.directory}"


def check_splits(sweep: Sweep) -> None:
    """Check how each run that is not finished holds out examples, once for all folds of a split; raises Refused.

    Data that cannot be loaded are left to their run, which says so.
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
    """Raise Refused if d2lrun did not write what lies in the sweep's folder or in those of its runs. It only reads."""
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
    """Whether a folder with these ``names`` in it is a sweep's: by its sweep.json, or by a run named by its content."""
    told = read_object(folder / "sweep.json") or {}
    return {"engine", "command", "jobs"} <= told.keys() or any(is_named_by_content(folder / name) for name in names)


def is_named_by_content(folder: Path) -> bool:
    """Whether the folder's name has the hash of the config of the run in it, as ``placed`` names it."""
    directory = RunDirectory(folder)
    named = (directory.result() or {}).get("config_hash")
    if not named and folder.is_dir():
        with contextlib.suppress(Refused):
            named = config_hash(directory.load_config())
    return isinstance(named, str) and f"-{named}" in folder.name


def placed(sweep: Sweep, config: Config) -> Config:
    """The config with its folder within the sweep, named by its content and that of its data.

    A run of an earlier version, whose folder's name says nothing of its data, keeps its folder.
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
    """The folder of a run whose data can not be read now: that of the one run there is under this name, if any."""
    found = [path for path in Path(named).parent.glob(f"{Path(named).name}-??????") if RunDirectory(path).begun()]
    return found[0] if len(found) == 1 else Path(named)


def adopt(jobs: list[Job]) -> None:
    """Record the data of runs that an earlier version finished: they are taken to be those that there are now."""
    from d2lrun.runs import kfold

    for job in jobs:
        if job.directory.finished() and job.directory.data() is None:
            with contextlib.suppress(Refused):  # they can not be read now
                kfold.adopt(job.config, job.directory)


def content(sweep: Sweep, config: Config, ignored: tuple[str, ...] = schema.CIRCUMSTANCES) -> str:
    """What tells a run of the sweep from the others: its config, and what else is swept, such as dataset.path."""
    values = schema.flatten(schema.to_dict(config))
    counted = [f"{key}={values[key]}" for key in sorted(sweep.keys) if key.startswith(ignored)]
    digest = hashlib.sha256("\n".join(counted).encode()).hexdigest()[:6]
    return config_hash(config, ignored) + (f"-{digest}" if counted else "")


def data_of(sweep: Sweep, config: Config) -> str | None:
    """The fingerprint of the data that a run reads; None if they can not be read, which the run itself will say."""
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
    """Whether a refit is asked for, and the configs that do without: it is for the best of them, in the end."""
    asked = any(getattr(config.validation, "refit", False) for config in configs)
    return asked, [
        replace(config, validation=replace(config.validation, refit=False))
        if config.validation.name == "kfold"
        else config
        for config in configs
    ]
