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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun import compose, files, schema, trial
from d2lrun.compose import MOST, parse_override
from d2lrun.config import DATASETS, Config, Grid, Search
from d2lrun.errors import Failed, InUse, Refused, Stopped
from d2lrun.job import BUSY, ENDED, MARKER, SPOILED, STOPPED, note_failure, train_in
from d2lrun.launchers import is_steering
from d2lrun.ranking import MEASURED, ranked
from d2lrun.report.text import counted
from d2lrun.rundir import RunDirectory, config_hash

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

Launch = Callable[[Sequence[Path]], Sequence["str | Exception"]]  # folders of runs -> how each ended
PATIENCE = 1.0  # seconds between two looks at runs that another process has
LEFT = 3600.0  # seconds after which a temporary file is one that a kill has left
WORDS = 60  # letters of keys in a folder's name
REFIT = "validation.refit"  # of the whole sweep: see refit.py


@dataclass
class Request:
    """A command line with ``-m``: what it fixes, and the values and intervals that it names for other keys."""

    overrides: list[str]  # all, as they were typed
    fixed: list[str]
    axes: list[list[str]]
    intervals: list[Override]
    settings: Grid | Search
    root: str  # where outputs go
    config_dir: str | None
    known: compose.Known
    command: str


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


def value_of(config: Config, key: str) -> Any:
    """The value of a key of two parts; None where the config has none."""
    group, _, name = key.partition(".")
    return getattr(getattr(config, group), name, None)


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

    def failures(self) -> int:
        """How many runs came to nothing."""
        return sum(job.spoiled for job in self.jobs)


def read(overrides: list[str], config_dir: str | None, command: str) -> Request:
    """A command line, taken apart; of one key the last word counts. Raises Refused."""
    overrides = list({key_of(text): text for text in overrides}.values())
    fixed, axes, intervals = compose.expand(overrides, config_dir)
    known = compose.Known()
    settings, root = compose.sweep_settings(fixed, config_dir, known)
    return Request(overrides, fixed, axes, intervals, settings, root, config_dir, known, command)


def plan(request: Request) -> Sweep:
    """The grid that a command line describes, every run of it checked; raises Refused with all complaints."""
    settings, fixed, config_dir = request.settings, request.fixed, request.config_dir
    if request.intervals:
        raise Refused(
            f"{request.intervals[0].input_line}: an interval has no end of values",
            "give values such as 0.1,0.5, or let Optuna choose them: sweep=optuna",
        )
    choices = combined(settings, fixed, [[[text] for text in axis] for axis in request.axes], config_dir)
    keys = list(dict.fromkeys(key_of(text) for axis in choices for option in axis for text in option))
    refuse_places(fixed, keys)
    sweep = Sweep(folder(request, keys), request.command, settings, keys)
    count = prod(map(len, choices))
    if count > MOST:
        raise Refused(f"{count:,} combinations", f"wanted at most {MOST:,}: sweep fewer values, or use sweep=optuna")
    swept = [[text for option in options for text in option] for options in product(*choices)]
    sweep.jobs = jobs(sweep, swept, request)
    check_metric(settings.metric, [job.config for job in sweep.jobs])
    return sweep


def check_metric(metric: str | None, configs: list[Config]) -> None:
    """Raise Refused for a metric that is not measured on any of the datasets."""
    kinds = {kind for config in configs for kind in DATASETS[config.dataset.name].kinds}
    have = sorted({name for kind in kinds for name in MEASURED[kind]})
    if metric and metric not in have:
        close = schema.suggestion(metric, have)
        raise Refused(f"sweep.metric={metric}: not measured here{close}", f"there is {', '.join(have)}")


def refuse_places(fixed: list[str], keys: list[str]) -> None:
    """Raise Refused for a folder of one run, and for a value of the sweep itself that is swept."""
    if "run.dir" in [*map(key_of, fixed), *keys]:
        raise Refused("run.dir: the folder of one run, but -m makes many", "name the sweep's with sweep.name=NAME")
    if whole := [key for key in keys if key.startswith(("run.", "sweep", REFIT))]:
        raise Refused(f"{whole[0]}: it is of the whole sweep, not of a run", "give it one value")


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
        spelled = [spelt(text, config_dir) for text in settings.combinations]
        swept = {key_of(text) for axis in axes for option in axis for text in option}
        if twice := swept & {key_of(text) for option in spelled for text in option}:
            complaint = f"sweep.combinations: {', '.join(sorted(twice))} has values of its own on the command line, too"
            raise Refused(complaint, "name a key in one of the two")
        axes.append(spelled)
    return axes


def spelt(text: str, config_dir: str | None) -> list[str]:
    """The overrides of one of ``sweep.combinations``; raises Refused."""
    try:
        words = shlex.split(text)
        single = words and len(compose.expand(words, config_dir)[0]) == len(words)
        wrong = "" if single else "wanted one value for a key"
        if steering := [word for word in words if is_steering(word)]:
            wrong = f"{steering[0]} is of the whole sweep, not of a run"
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise Refused(f"sweep.combinations: {text!r}: {wrong}", 'such as "model=lenet optimizer.lr=0.9"')
    return words


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
    plain = isinstance(value, str) and re.fullmatch(r"[\w./-]+", value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def key_of(text: str) -> str:
    return text.partition("=")[0].lstrip("+")


def folder(request: Request, keys: list[str]) -> Path:
    """Where the sweep lives: the same for the same keys and the same fixed values, whatever the swept values are.

    A key with a single value is a fixed one, unless it is written seed=choice(1). A named experiment lends its name.
    """
    settings = request.settings
    named = [text for text in request.fixed if key_of(text) == "experiment"]
    words = [str(parse_override(text).value()) for text in named]
    words += [key for key in sorted(keys) if not (named and key in settings.grid)]
    words = "_".join(words) or "one"
    rest = [*(text for text in lasting(request.fixed) if text not in named), request.config_dir or "", words[WORDS:]]
    digest = hashlib.sha256("\n".join(rest).encode()).hexdigest()[:6]
    name = re.sub(r"[^\w.-]+", "-", words[:WORDS]).strip("-_.") + (f"-{digest}" if any(rest) else "")
    return Path(request.root).expanduser() / "sweeps" / (settings.name or name)


def lasting(fixed: list[str]) -> list[str]:
    """The fixed values that make it another sweep where they change."""
    steer = ("sweep.", "run.", "hydra", "device.threads", REFIT)
    return sorted(text for text in fixed if not key_of(text).startswith(steer))


def jobs(sweep: Sweep, swept: list[list[str]], request: Request) -> list[Job]:
    """A job for each list of overrides; two that come to the same config are one."""
    whole = [[*request.fixed, *overrides] for overrides in swept]
    configs = compose.compose_all(whole, request.config_dir, request.known)
    sweep.refit, configs = without_refit(configs)
    found: dict[str, Job] = {}
    for overrides, config in zip(swept, configs, strict=True):
        found.setdefault(content(sweep, config), Job(overrides, placed(sweep, config)))
    return list(found.values())


def without_refit(configs: list[Config]) -> tuple[bool, list[Config]]:
    """Whether a refit is asked for, and the configs that do without: it is for the best of them, in the end."""
    asked = any(getattr(config.validation, "refit", False) for config in configs)
    return asked, [
        replace(config, validation=replace(config.validation, refit=False))
        if config.validation.name == "kfold"
        else config
        for config in configs
    ]


def content(sweep: Sweep, config: Config) -> str:
    """What tells a run of the sweep from the others: its config, and what else is swept, such as dataset.dir."""
    values = schema.flatten(schema.to_dict(config))
    counted = [f"{key}={values[key]}" for key in sorted(sweep.keys) if key.startswith(schema.CIRCUMSTANCES)]
    digest = hashlib.sha256("\n".join(counted).encode()).hexdigest()[:6]
    return config_hash(config) + (f"-{digest}" if counted else "")


def placed(sweep: Sweep, config: Config) -> Config:
    """The config with its folder within the sweep, named by its content."""
    name = f"{config.model.name}-seed{config.seed}-{content(sweep, config)}"
    place = replace(config.run, dir=str(sweep.directory / name), name=None, pictures=sweep.settings.pictures)
    return replace(config, run=place)


def prepare(sweep: Sweep) -> None:
    """Write the config of every job that is not finished, whatever there was; raises Refused where that cannot be."""
    try:
        files.remove_leftovers(sweep.directory, LEFT)
        for job in sweep.jobs:
            job.directory.path.mkdir(parents=True, exist_ok=True)
            (job.directory.path / trial.FILE).unlink(missing_ok=True)  # of a search in the same folder
            if not job.directory.finished():
                job.directory.write_config(job.config)
        (sweep.directory / MARKER).unlink(missing_ok=True)
    except OSError as error:
        raise Refused(
            f"cannot write to {sweep.directory}: {error.strerror or error}", "choose another place with run.root=FOLDER"
        ) from error


@contextmanager
def told_to_go_on(sweep: Sweep) -> Iterator[None]:
    """A signal is for all runs, and it is the sweep that is to be continued, not the run that it found at work.

    Runs in processes of their own get it from the terminal or from their launcher; on a cluster they go on without us.
    """
    try:
        yield
    except Stopped as stopped:
        elsewhere = sum(job.is_held() for job in sweep.jobs)  # not waited for: Ray would abort this process meanwhile
        told = f"but {counted(elsewhere, 'run')} in other processes may go on" if elsewhere else "saved"
        stopped.args = (f"stopped, {told}; the same command goes on with what is left",)
        raise


def carry_out(sweep: Sweep, launch: Launch | None, workers: int | None = None) -> None:
    """Train what is not finished: all at once with a launcher, however many ``workers`` it has; else one by one here.

    What another process trains just now is waited for, and taken over where that process dies. Raises Stopped.
    """
    train_all(sweep, sweep.jobs, launch)


def train_all(sweep: Sweep, jobs: list[Job], launch: Launch | None) -> None:
    """Train those of ``jobs`` that are not finished, as ``carry_out`` says."""
    waiting = [job for job in jobs if not job.directory.finished()]
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
    batch = [job for job in batch if not job.tried_meanwhile()]
    if not batch:
        return []
    before = [job.directory.result() for job in batch]  # how earlier tries ended
    try:
        ends = interruptible(launch)([job.directory.path for job in batch])
    except Exception as error:  # a worker died, and with it the launcher gave up
        told = f"its process died: {error or type(error).__name__}"
        left = [job for job, old in zip(batch, before) if job.directory.result() in (None, old)]
        suspects = [job for job in left if job.directory.held()]  # one of them did it, or will do so again
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
