"""Many runs in one directory, as plain data: what is to be done, where, and what it has come to.

A run's folder is named by the content of its config, so that values of a sweep can be added, removed and put in
another order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from d2lrun import files, schema
from d2lrun.compose import parse_override
from d2lrun.config import Config, Grid, Search
from d2lrun.errors import InUse
from d2lrun.report.text import counted
from d2lrun.rundir import RunDirectory, config_hash
from d2lrun.sweeps.job import ENDED, SPOILED
from d2lrun.sweeps.ranking import ranked


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
    missing: list[str] = field(default_factory=list)  # pictures that could not be drawn, and why

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of sweep.json, from what ``job.tell`` says of every job."""
        facts = {
            "name": self.directory.name,
            "engine": self.settings.engine,
            "command": self.command,
            "keys": self.keys,
        }
        return ranked(facts, rows, self.settings.metric, self.unlike()) | {"rerun": self.command}

    def unlike(self) -> list[str]:
        """The keys by which the runs are not measured on the same examples, or not of the same tokens."""
        found = [key for key in schema.UNLIKE if len({value_of(job.config, key) for job in self.jobs}) > 1]
        others = tuple(key.removesuffix("name") for key in found if key.endswith(".name"))  # they say no more
        return [key for key in found if key.endswith(".name") or not key.startswith(others)]

    def opening(self) -> str:
        """'12 runs: 5 finished, 1 goes on, 6 new, in outputs/sweeps/…'."""
        finished = sum(job.directory.finished() for job in self.jobs)
        begun = sum(job.directory.begun() for job in self.jobs) - finished
        new = len(self.jobs) - finished - begun
        parts = [f"{finished} finished", f"{begun} to go on with", f"{new} new"]
        return f"{counted(len(self.jobs), 'run')}: {', '.join(parts)}, in {self.directory}"


def value_of(config: Config, key: str) -> Any:
    """The value of a key of two parts; None where the config has none."""
    group, _, name = key.partition(".")
    return getattr(getattr(config, group), name, None)


def placed(sweep: Sweep, config: Config) -> Config:
    """The config with its folder within the sweep, named by its content."""
    name = f"{config.model.name}-seed{config.seed}-{content(sweep, config)}"
    place = replace(config.run, dir=str(sweep.directory / name), name=None, pictures=sweep.settings.pictures)
    return replace(config, run=place)


def content(sweep: Sweep, config: Config) -> str:
    """What tells a run of the sweep from the others: its config, and what else is swept, such as dataset.dir."""
    values = schema.flatten(schema.to_dict(config))
    counted = [f"{key}={values[key]}" for key in sorted(sweep.keys) if key.startswith(schema.CIRCUMSTANCES)]
    digest = hashlib.sha256("\n".join(counted).encode()).hexdigest()[:6]
    return config_hash(config) + (f"-{digest}" if counted else "")


def without_refit(configs: list[Config]) -> tuple[bool, list[Config]]:
    """Whether a refit is asked for, and the configs that do without: it is for the best of them, in the end."""
    asked = any(getattr(config.validation, "refit", False) for config in configs)
    return asked, [
        replace(config, validation=replace(config.validation, refit=False))
        if config.validation.name == "kfold"
        else config
        for config in configs
    ]
