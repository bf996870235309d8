"""A grid: one run for every combination of the values in a command, each run checked."""

from __future__ import annotations

import shlex
from itertools import product
from math import prod
from typing import Any

from d2lrun.config import complaints, compose, several
from d2lrun.config.keys import SweepSettings
from d2lrun.config.overrides import is_hydras
from d2lrun.config.several import MOST
from d2lrun.disk import files
from d2lrun.errors import Refused
from d2lrun.sweeps import trial
from d2lrun.sweeps.job import MARKER
from d2lrun.sweeps.launch import Launch, train_all
from d2lrun.sweeps.request import Request, check_metric, folder, key_of, refuse_places, typed
from d2lrun.sweeps.sweep import Job, Sweep, adopt, content, placed, refuse_strangers, without_refit

LEFT = 3600.0  # seconds; an older temporary file was left by a killed process


def plan(request: Request) -> Sweep:
    """Return the grid that a command line describes, with every run checked; raises Refused with all complaints."""
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


def combined(
    settings: SweepSettings, fixed: list[str], axes: list[list[list[str]]], config_dir: str | None
) -> list[list[list[str]]]:
    """Return the axes of a sweep, from the command and from ``sweep``: each is a list of lists of overrides."""
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
    """Return the overrides of one entry of ``sweep.combinations``; raises Refused."""
    try:
        words = shlex.split(text)
        single = words and len(several.expand(words, config_dir)[0]) == len(words)
        wrong = "" if single else "wanted one value for a key"
        if steering := [word for word in words if is_hydras(word)]:
            wrong = f"{steering[0]} belongs to the whole sweep, not to a run"
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise Refused(f"sweep.combinations: {text!r}: {wrong}", 'such as "model=lenet optimizer.lr=0.9"')
    return words


def named_axis(key: str, values: Any, config_dir: str | None) -> list[str]:
    """Return the overrides of a line of ``sweep.grid``: a list of values, or Hydra's syntax."""
    if isinstance(values, list) and values:
        return [f"{key}={typed(value)}" for value in values]
    _, axes, _ = several.expand([f"{key}={values}"], config_dir)
    if not isinstance(values, str) or not axes:
        wanted = "wanted a list of values, or Hydra's syntax such as range(1,5)"
        raise Refused(f"sweep.grid: {complaints.shown(key, values)}: {wanted}", "sweep.grid={optimizer.lr:[0.1,0.5]}")
    return axes[0]


def jobs(sweep: Sweep, swept: list[list[str]], request: Request) -> list[Job]:
    """Return a job for each list of overrides; lists with the same config give one job."""
    whole = [[*request.fixed, *overrides] for overrides in swept]
    configs = compose.compose_all(whole, request.config_dir, request.known)
    sweep.refit, configs = without_refit(configs)
    found: dict[str, Job] = {}
    for overrides, config in zip(swept, configs, strict=True):
        found.setdefault(content(sweep, config), Job(overrides, placed(sweep, config)))
    return list(found.values())


def prepare(sweep: Sweep) -> None:
    """Write the config of every job that is not finished.

    Raises Refused if this fails; also, before any write, if a folder holds files that d2lrun did not write.
    """
    try:
        refuse_strangers(sweep)
        files.remove_leftovers(sweep.directory, LEFT)
        for job in sweep.jobs:
            job.directory.path.mkdir(parents=True, exist_ok=True)
            (job.directory.path / trial.FILE).unlink(missing_ok=True)  # from a search in the same folder
            if not job.directory.finished():
                job.directory.write_config(job.config)
        adopt(sweep.jobs)
        (sweep.directory / MARKER).unlink(missing_ok=True)
    except OSError as error:
        raise Refused(
            f"cannot write to {sweep.directory}: {error.strerror or error}", "choose another place with run.root=FOLDER"
        ) from error


def carry_out(sweep: Sweep, launch: Launch | None, workers: int | None = None) -> None:
    """Train the jobs that are not finished: all at once with a launcher, for any ``workers``; else one by one here.

    Jobs that another process trains are waited for, and taken over if that process dies. Raises Stopped.
    """
    train_all(sweep, sweep.jobs, launch)
