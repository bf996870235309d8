"""The setting that a sweep has chosen, trained on everything: the one look at the test set, after all choosing.

``validation.refit=true`` says of a K-fold run that it is wanted behind its folds; of a sweep, that it is wanted once,
of the best. So the runs of a sweep do without, and this comes when all of them have ended.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from d2lrun.disk.rundir import RunDirectory, lift_submission
from d2lrun.errors import Refused
from d2lrun.sweeps.job import MARKER, row_of
from d2lrun.sweeps.launch import Launch, train_all
from d2lrun.sweeps.sweep import Job, Sweep, content

FOLDER = "refit-*"  # in the sweep's


def carry_out(sweep: Sweep, launch: Launch | None) -> None:
    """Train the best setting on everything, where that is asked for and every run has ended, here. Raises Stopped."""
    complete = all(job.ended for job in sweep.jobs) and not sweep.elsewhere
    if not sweep.refit or not complete or (sweep.directory / MARKER).exists():
        return
    summary = sweep.summary([row_of(job.directory, job.overrides, job.values, sweep.directory) for job in sweep.jobs])
    if best := summary["best"]:
        sweep.chosen = chosen(sweep, best, summary["groups"][best["group"]]["jobs"])
        train_all(sweep, [sweep.chosen], launch)
        lift_submission(sweep.chosen.directory, RunDirectory(sweep.directory))


def chosen(sweep: Sweep, best: dict[str, Any], places: list[int]) -> Job:
    """The run on everything of the best setting, whose own runs stand at ``places``; its config is written."""
    from d2lrun.runs import kfold

    members = [sweep.jobs[place] for place in places]
    results = [member.directory.result() for member in members]
    runs = [run for result in results for run in result.get("folds") or [result]]
    config = kfold.everything(members[0].config, [run.get("selected_epoch") or run["epochs"] for run in runs])
    name = f"{FOLDER[:-1]}{config.model.name}-seed{config.seed}-{content(sweep, config)}"
    config = replace(config, run=replace(config.run, dir=str(sweep.directory / name), pictures=True))
    job = Job(best["overrides"], config)
    if not job.directory.finished():
        try:
            job.directory.refuse_strangers()
            job.directory.path.mkdir(exist_ok=True)
            job.directory.write_config(config)
        except OSError as error:
            reason = f"cannot write to {job.directory.path}: {error.strerror or error}"
            raise Refused(reason, "make room, or look at who may write there; the same command goes on") from error
    return job


def told(job: Job, directory: RunDirectory, sweep: Path) -> dict[str, Any]:
    """What sweep.json says of the run on everything: how it stands, and what was done with the test set, and when.

    ``directory`` is the job's and ``sweep`` the sweep's folder, both with absolute paths.
    """
    from d2lrun.runs.kfold import test_set

    row = row_of(directory, job.overrides, job.values, sweep)
    if row["status"] != "finished":
        return row | {"test_set": None, "at": None}
    others = [path for path in sorted(sweep.glob(FOLDER)) if path != directory.path and RunDirectory(path).finished()]
    again = f", but before that for {', '.join(path.name for path in others)}, too" if others else ""
    at = datetime.fromtimestamp(directory.result_file.stat().st_mtime).astimezone()
    return row | {"test_set": test_set(row, "all choosing") + again, "at": at.isoformat(timespec="seconds")}
