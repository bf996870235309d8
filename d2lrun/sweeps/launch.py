"""The runs of a sweep are carried out: here, one after the other, or by a launcher; what has ended is left alone."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from d2lrun.errors import Failed, Stopped
from d2lrun.report.text import counted
from d2lrun.runs import next_step
from d2lrun.sweeps.job import BUSY, STOPPED, note_failure, train_in
from d2lrun.sweeps.sweep import Job, Sweep

Launch = Callable[[Sequence[Path]], Sequence["str | Exception"]]  # folders of runs -> how each ended
PATIENCE = 1.0  # seconds between two looks at runs that another process has


@contextmanager
def tell_how_to_continue(sweep: Sweep) -> Iterator[None]:
    """A signal is for all runs, and it is the sweep that is to be continued, not the run that it found at work.

    Runs in processes of their own get it from the terminal or from their launcher; on a cluster they go on without us.
    """
    try:
        yield
    except Stopped as stopped:
        elsewhere = sum(job.is_held() for job in sweep.jobs)  # not waited for: Ray would abort this process meanwhile
        told = f"but {counted(elsewhere, 'run')} in other processes may go on" if elsewhere else "saved"
        stopped.args = (f"stopped, {told}; {next_step.continuing(sweep.command)}",)
        raise


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


def one_by_one(batches: list[list[Job]], launch: Launch) -> list[Job]:
    """Launch batch after batch, until a run fails that is to stop the others; returns what ``launched`` does."""
    again = []
    for batch in filter(None, batches):
        again += launched(batch, launch)
        if any(job.config.sweep.on_error == "stop" and job.spoiled for job in batch):
            break
    return again


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


def train_here(directories: Sequence[Path]) -> list[str]:
    """The launcher that needs none: in this process, where the dataset is loaded once."""
    return [train_in(directory) for directory in directories]


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
