"""Carry out the runs of a sweep: in this process, one by one, or with a launcher. Finished runs are not repeated."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from d2lrun.errors import Failed, Stopped
from d2lrun.report.text import counted
from d2lrun.runs import next_step
from d2lrun.sweeps.job import BUSY, STOPPED, note_failure, train_unless_tried
from d2lrun.sweeps.sweep import Job, Sweep

Launch = Callable[[Sequence[Path]], Sequence["str | Exception"]]  # folders of runs -> how each ended
PATIENCE = 1.0  # seconds between two checks of runs that another process trains


@contextmanager
def tell_how_to_continue(sweep: Sweep) -> Iterator[None]:
    """If a signal stops the sweep, add the command that continues the sweep to the Stopped.

    Runs in other processes get the signal from the terminal or from their launcher; on a cluster they continue.
    """
    try:
        yield
    except Stopped as stopped:
        elsewhere = sum(job.is_held() for job in sweep.jobs)  # do not wait: Ray would abort this process meanwhile
        state = f"but {counted(elsewhere, 'run')} in other processes may continue" if elsewhere else "saved"
        stopped.args = (f"stopped, {state}; {next_step.continuing(sweep.command)}",)
        raise


def train_all(sweep: Sweep, jobs: list[Job], launch: Launch | None) -> None:
    """Train the unfinished ``jobs``, as in ``carry_out``."""
    waiting = [job for job in jobs if not job.directory.finished()]
    while waiting:
        remaining = one_by_one([waiting] if launch else [[job] for job in waiting], launch)
        if sweep.settings.on_error == "stop" and any(job.spoiled for job in waiting):
            return
        if len(remaining) == len(waiting):
            time.sleep(PATIENCE)
        waiting = remaining


def one_by_one(batches: list[list[Job]], launch: Launch | None) -> list[Job]:
    """Launch the batches one by one, until a run fails and stops the others; return the jobs of ``launched``."""
    remaining = []
    for batch in filter(None, batches):
        remaining += launched(batch, launch)
        if any(job.config.sweep.on_error == "stop" and job.spoiled for job in batch):
            break
    return remaining


def launched(batch: list[Job], launch: Launch | None) -> list[Job]:
    """Launch the jobs; return the jobs to try again: another process has them, or a signal stopped them.

    Without a launcher they are trained in this process. A run that kills its own process is recorded as failed. Raises
    Failed if no run could begin.
    """
    batch = [job for job in batch if not job.tried_meanwhile()]
    if not batch:
        return []
    before = [job.directory.result() for job in batch]  # how earlier tries ended

    def train_here(directories: Sequence[Path]) -> list[str]:
        return [train_unless_tried(path, job.earlier) for path, job in zip(directories, batch, strict=True)]

    try:
        ends = interruptible(launch or train_here)([job.directory.path for job in batch])
    except Exception as error:  # a worker died, so the launcher gave up
        reason = f"its process died: {error or type(error).__name__}"
        left = [job for job, old in zip(batch, before) if job.directory.result() in (None, old)]
        suspects = [job for job in left if job.directory.held()]  # one of them killed the worker
        if not suspects and len(left) == len(batch):
            raise Failed(f"the launcher gave up: {error or type(error).__name__}", "see hydra/launcher") from error
        if suspects == batch and len(batch) == 1:
            note_failure(batch[0].directory, reason)
            return []
        others = [job for job in left if job not in suspects]
        return one_by_one([*([suspect] for suspect in suspects), others], launch)
    for job, end in zip(batch, ends, strict=True):
        if isinstance(end, Exception) and not job.directory.finished():
            note_failure(job.directory, f"{type(end).__name__}: {end}")
    return [job for job, end in zip(batch, ends, strict=True) if end in (BUSY, STOPPED)]


def interruptible(launch: Launch) -> Launch:
    """Return the same launcher, but raise Stopped after a signal, also if it raises another exception, as Ray does."""

    def launch_until_stopped(directories: Sequence[Path]) -> Sequence[str | Exception]:
        try:
            return launch(directories)
        except Stopped:
            raise
        except (KeyboardInterrupt, SystemExit) as end:
            signum = signal.SIGINT if isinstance(end, KeyboardInterrupt) else signal.SIGTERM
            raise Stopped(signum, "stopped") from end

    return launch_until_stopped
