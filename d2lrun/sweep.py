"""Many runs in one directory: what is finished is left alone, what was stopped goes on, and one file tells of all.

A run's folder is named by the content of its config, so that values of a sweep can be added, removed and put in
another order. ``sweep.json`` is written while the runs end; a sweep that was killed has one, too.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from d2lrun import compose, files, schema
from d2lrun.compose import parse_override
from d2lrun.config import Config, Grid, Search
from d2lrun.errors import Failed, Refused, Stopped
from d2lrun.job import BUSY, MARKER, STOPPED, note_failure, tell, train_in
from d2lrun.ranking import SPOILED, ranked
from d2lrun.rundir import RunDirectory, config_hash

Launch = Callable[[Sequence[Path]], Sequence["str | Exception"]]  # folders of runs -> how each ended
MOST = 100_000  # runs in a sweep; more is a slip of the pen
PATIENCE = 1.0  # seconds between two looks at runs that another process has


@dataclass
class Job:
    """One run of a sweep: what sets it apart, as it was typed, and its whole config."""

    overrides: list[str]
    config: Config

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(Path(self.config.run.dir))

    @property
    def spoiled(self) -> bool:
        return (self.directory.result() or {}).get("status") in SPOILED

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

    def summary(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """The content of sweep.json, from what ``job.tell`` says of every job."""
        facts = {
            "name": self.directory.name,
            "engine": self.settings.engine,
            "command": self.command,
            "keys": self.keys,
        }
        return ranked(facts, rows, self.settings.metric) | {"rerun": self.command}

    def opening(self) -> str:
        """'12 runs: 5 finished, 1 goes on, 6 new, in outputs/sweeps/…'."""
        finished = sum(job.directory.finished() for job in self.jobs)
        begun = sum(job.directory.begun() for job in self.jobs) - finished
        new = len(self.jobs) - finished - begun
        parts = [f"{finished} finished", f"{begun} to go on with", f"{new} new"]
        return f"{len(self.jobs):,} runs: {', '.join(parts)}, in {self.directory}"

    def failures(self) -> int:
        """How many runs came to nothing."""
        return sum(job.spoiled for job in self.jobs)

    def write(self, rows: list[dict[str, Any]]) -> None:
        files.write_json(self.directory / "sweep.json", self.summary(rows))


def plan(overrides: list[str], config_dir: str | None, command: str) -> Sweep:
    """The sweep that a command line describes, every run of it checked; raises Refused with all complaints."""
    fixed, axes, intervals = compose.expand(overrides, config_dir)
    settings = compose.sweep_settings(fixed, config_dir)
    for text in fixed:
        if text.lstrip("+").startswith("run.dir="):
            raise Refused(f"{text}: the folder of one run, but -m makes many", "name the sweep's with sweep.name=NAME")
    if intervals and settings.engine == "grid":
        raise Refused(
            f"{intervals[0].input_line}: an interval has no end of values",
            "give values such as 0.1,0.5, or let Optuna choose them: sweep=optuna",
        )
    choices = combined(settings, fixed, [[[text] for text in axis] for axis in axes], config_dir)
    keys = list(dict.fromkeys(key_of(text) for axis in choices for option in axis for text in option))
    sweep = Sweep(folder(settings, fixed, keys, config_dir), command, settings, keys)
    count = prod(map(len, choices))
    if count > MOST:
        raise Refused(f"{count:,} combinations", f"wanted at most {MOST:,}: sweep fewer values, or use sweep=optuna")
    swept = [[text for option in options for text in option] for options in product(*choices)]
    sweep.jobs = jobs(sweep, fixed, swept, config_dir)
    return sweep


def combined(
    settings: Grid, fixed: list[str], axes: list[list[list[str]]], config_dir: str | None
) -> list[list[list[str]]]:
    """The axes of a sweep, each a list of options, each a list of overrides: the command's, and those of ``sweep``."""
    typed = {key_of(axis[0][0]) for axis in axes} | {key_of(text) for text in fixed}
    for key, values in settings.grid.items():
        if key not in typed:
            axes.append([[text] for text in named_axis(key, values, config_dir)])
    together = [axis for axis in axes if key_of(axis[0][0]) in settings.zip]
    if missing := set(settings.zip) - {key_of(axis[0][0]) for axis in together}:
        raise Refused(f"sweep.zip: {', '.join(sorted(missing))} has no values", "sweep over it: KEY=VALUE,VALUE")
    if len({len(axis) for axis in together}) > 1:
        counts = ", ".join(f"{key_of(axis[0][0])} {len(axis)}" for axis in together)
        raise Refused(f"sweep.zip: not equally many values ({counts})", "give each key as many values as the others")
    if together:
        rows = [[text for option in options for text in option] for options in zip(*together, strict=True)]
        axes = [axis for axis in axes if axis not in together] + [rows]
    if settings.combinations:
        axes.append([shlex.split(text) for text in settings.combinations])
    return axes


def named_axis(key: str, values: Any, config_dir: str | None) -> list[str]:
    """The overrides that a line of ``sweep.grid`` stands for: a list of values, or Hydra's syntax."""
    if isinstance(values, list) and values:
        return [f"{key}={typed(value)}" for value in values]
    _, axes, _ = compose.expand([f"{key}={values}"], config_dir)
    if not isinstance(values, str) or not axes:
        wanted = "wanted a list of values, or Hydra's syntax such as range(1,5)"
        raise Refused(f"sweep.grid: {schema.shown(key, values)}: {wanted}", "sweep.grid={optimizer.lr:[0.1,0.5]}")
    return axes[0]


def typed(value: Any) -> str:
    """A value as one types it on Hydra's command line."""
    return value if isinstance(value, str) and re.fullmatch(r"[\w./-]+", value) else json.dumps(value)


def key_of(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def folder(settings: Grid, fixed: list[str], keys: list[str], config_dir: str | None) -> Path:
    """Where the sweep lives: the same for the same keys and the same fixed values, whatever the swept values are."""
    steer = ("sweep.", "run.", "hydra", "device.threads")
    rest = sorted(text for text in fixed if not key_of(text).startswith(steer))
    words = "_".join(keys)[:60] if keys else "one"
    digest = hashlib.sha256("\n".join([*rest, config_dir or ""]).encode()).hexdigest()[:6]
    named = settings.name or re.sub(r"[^\w.-]+", "-", words).strip("-_.") + (f"-{digest}" if rest or config_dir else "")
    root = next((text.partition("=")[2] for text in fixed if key_of(text) == "run.root"), None)
    return Path(root or compose.compose([]).run.root).expanduser() / "sweeps" / named


def jobs(sweep: Sweep, fixed: list[str], swept: list[list[str]], config_dir: str | None) -> list[Job]:
    """A job for each list of overrides; two that come to the same config are one."""
    configs = compose.compose_all([[*fixed, *overrides] for overrides in swept], config_dir)
    found: dict[str, Job] = {}
    for overrides, config in zip(swept, configs, strict=True):
        found.setdefault(config_hash(config), Job(overrides, placed(sweep, config)))
    return list(found.values())


def placed(sweep: Sweep, config: Config) -> Config:
    """The config with its folder within the sweep, named by its content."""
    name = f"{config.model.name}-seed{config.seed}-{config_hash(config)}"
    place = replace(config.run, dir=str(sweep.directory / name), name=None, pictures=sweep.settings.pictures)
    return replace(config, run=place)


def prepare(sweep: Sweep) -> None:
    """Write the config of every job that has none; raises Refused where nothing can be written."""
    try:
        for job in sweep.jobs:
            job.directory.path.mkdir(parents=True, exist_ok=True)
            if not job.directory.begun():
                job.directory.write_config(job.config)
        (sweep.directory / MARKER).unlink(missing_ok=True)
    except OSError as error:
        raise Refused(
            f"cannot write to {sweep.directory}: {error.strerror or error}", "choose another place with run.root=FOLDER"
        ) from error


def carry_out(sweep: Sweep, launch: Launch | None) -> None:
    """Train what is not finished: all at once with a launcher, without one here, one after the other.

    What another process trains just now is waited for, and taken over where that process dies.
    """
    waiting = [job for job in sweep.jobs if not job.directory.finished()]
    while waiting:
        again = one_by_one([waiting] if launch else [[job] for job in waiting], launch or train_here)
        if sweep.settings.on_error == "stop" and any(job.spoiled for job in waiting):
            return
        if len(again) == len(waiting):
            time.sleep(PATIENCE)
        waiting = again


def train_here(directories: Sequence[Path]) -> list[str]:
    """The launcher that needs none: in this process, where the dataset is loaded once."""
    return [train_in(directory) for directory in directories]


def launched(batch: list[Job], launch: Launch) -> list[Job]:
    """Launch the jobs; returns those to be looked at again: another process has them, or a signal stopped them.

    A run that kills the process it is in is named as failed. Raises Failed where no run was even begun.
    """
    before = [job.directory.result() for job in batch]  # how earlier tries ended
    try:
        ends = interruptible(launch)([job.directory.path for job in batch])
    except Exception as error:  # a worker died, and with it the launcher gave up
        told = f"its process died: {error or type(error).__name__}"
        left = [job for job, old in zip(batch, before) if job.directory.result() in (None, old)]
        suspects = [job for job in left if job.directory.abandoned()]  # one of them did it, or will do so again
        if not suspects and len(left) == len(batch):
            raise Failed(f"the launcher gave up: {error or type(error).__name__}", "see hydra/launcher") from error
        if suspects == batch and len(batch) == 1:
            note_failure(batch[0].directory, told)
            return []
        others = [job for job in left if job not in suspects]
        return one_by_one([*([suspect] for suspect in suspects), others], launch)
    for job, end in zip(batch, ends, strict=True):
        if isinstance(end, Exception) and not job.directory.finished():
            note_failure(job.directory, f"{type(end).__name__}: {end}")
    return [job for job, end in zip(batch, ends, strict=True) if end in (BUSY, STOPPED)]


def interruptible(launch: Launch) -> Launch:
    """The same launcher; a signal ends it as Stopped, also where it makes something else of it, as Ray does."""

    def launch_until_stopped(directories: Sequence[Path]) -> Sequence[str | Exception]:
        try:
            return launch(directories)
        except Stopped:
            raise
        except (KeyboardInterrupt, SystemExit) as end:
            signum = signal.SIGINT if isinstance(end, KeyboardInterrupt) else signal.SIGTERM
            raise Stopped(signum, "stopped") from end

    return launch_until_stopped


def one_by_one(batches: list[list[Job]], launch: Launch) -> list[Job]:
    """Launch batch after batch, until a run fails that is to stop the others; returns what ``launched`` does."""
    again = []
    for batch in filter(None, batches):
        again += launched(batch, launch)
        if any(job.config.sweep.on_error == "stop" and job.spoiled for job in batch):
            break
    return again


def rows(sweep: Sweep) -> list[dict[str, Any]]:
    """What is known of every job at this moment."""
    return [tell(job.directory, job.overrides, job.values, sweep.directory) for job in sweep.jobs]
