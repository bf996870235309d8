"""The refit of a sweep: train its best setting on all training examples, and measure the test set once.

With ``validation.refit=true`` a K-fold run trains once more after its folds, but a sweep does so only for its best
setting. So the runs of a sweep have no refit, and the refit comes after all of them.
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

FOLDER = "refit-*"  # in the sweep's folder


def carry_out(sweep: Sweep, launch: Launch | None) -> None:
    """Train the best setting on all examples, if this is wanted and every run has ended here. Raises Stopped."""
    complete = all(job.ended for job in sweep.jobs) and not sweep.elsewhere
    if not sweep.refit or not complete or (sweep.directory / MARKER).exists():
        return
    summary = sweep.summary([row_of(job.directory, job.overrides, job.values, sweep.directory) for job in sweep.jobs])
    if best := summary["best"]:
        sweep.chosen = chosen(sweep, best, summary["groups"][best["group"]]["jobs"])
        train_all(sweep, [sweep.chosen], launch)
        lift_submission(sweep.chosen.directory, RunDirectory(sweep.directory))


def chosen(sweep: Sweep, best: dict[str, Any], places: list[int]) -> Job:
    """Write the config of the refit and return its job; ``places`` are the indices of the best setting's jobs."""
    from d2lrun.runs import kfold

    members = [sweep.jobs[place] for place in places]
    results = [member.directory.known_result() for member in members]
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
            raise Refused(reason, "free disk space, or check the permissions; then repeat the command") from error
    return job


def refit_row(job: Job, directory: RunDirectory, sweep: Path) -> dict[str, Any]:
    """Return the entry of sweep.json for the refit: its row, and how and when the test set was used.

    ``directory`` is the folder of the job and ``sweep`` the folder of the sweep, both with absolute paths.
    """
    from d2lrun.runs.kfold import test_set

    row = row_of(directory, job.overrides, job.values, sweep)
    if row["status"] != "finished":
        return row | {"test_set": None, "at": None}
    others = [path for path in sorted(sweep.glob(FOLDER)) if path != directory.path and RunDirectory(path).finished()]
    again = f", but before that for {', '.join(path.name for path in others)}, too" if others else ""
    at = datetime.fromtimestamp(directory.result_file.stat().st_mtime).astimezone()
    return row | {"test_set": test_set(row, "all choosing") + again, "at": at.isoformat(timespec="seconds")}
