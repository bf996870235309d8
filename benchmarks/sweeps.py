"""What a sweep costs beyond the computing of its runs: whole processes, timed from outside, beside pure compute.

A sweep's processes are given an empty folder each, so that nothing in it is finished yet, except where that is timed.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import epochs
import startup

JOBS, EPOCHS = 8, 2  # of the sweep beside pure compute
MANY, FINISHED = 64, 1000  # runs whose memory is looked at; finished ones that are read again
TRIVIAL = ["model=linear", "dataset=linear", "train.epochs=1", "train.limit_batches=1"]
SWEEP, FIRST_STEP, PURE = "sweep", "d2lrun, first step", "pure"
SERIAL, PARALLEL = "one after the other", "joblib, two at once"

# The memory that the process holds after each run, in MB, one a line.
HELD = """
import os
from pathlib import Path
from d2lrun.cli import main
from d2lrun.sweeps import launch
train = launch.train_unless_tried
def watched(path, earlier):
    status = train(path, earlier)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print("held", pages * os.sysconf("SC_PAGESIZE") / 1e6)
    return status
launch.train_unless_tried = watched
main.main()
"""


def rates(count: int) -> str:
    """The override that makes a sweep of so many runs: learning rates, none of them 0."""
    return "optimizer.lr=" + ",".join(f"{number / 10_000:g}" for number in range(1, count + 1))


def sweep(overrides: list[str], folder: Path | None = None) -> float:
    """The seconds of a sweep's process, in ``folder`` or in one that is empty and then removed."""
    with tempfile.TemporaryDirectory() as empty:
        started = time.perf_counter()
        startup.start(["-m", "d2lrun", "-m", *overrides], folder or Path(empty), {})
        return time.perf_counter() - started


def beside_pure(overrides: list[str], rounds: int) -> dict[str, list[float]]:
    """The seconds of a sweep of short runs, of a start-up and of the runs' computing alone, in turn."""
    overrides = [*overrides, f"train.epochs={EPOCHS}"]
    seconds: dict[str, list[float]] = {way: [] for way in (SWEEP, FIRST_STEP, PURE)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spawn = multiprocessing.get_context("spawn")
        for _ in range(rounds):
            seconds[SWEEP].append(sweep([*overrides, rates(JOBS)]))
            started = time.perf_counter()
            startup.start(["-c", startup.D2LRUN_SCRIPT, *overrides], folder, {})
            seconds[FIRST_STEP].append(time.perf_counter() - started)
            with ProcessPoolExecutor(1, spawn, epochs.prepare, ("pure", overrides, folder)) as pool:
                pool.submit(epochs.timed_epoch).result()  # not counted
                seconds[PURE].append(sum(pool.submit(epochs.timed_epoch).result() for _ in range(JOBS * EPOCHS)))
    return seconds


def parallel(overrides: list[str], rounds: int) -> dict[str, list[float]] | None:
    """The seconds of a sweep of single-threaded runs, in one process and in two, in turn; None without the extra."""
    if not importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher"):
        return None
    runs = [*overrides, "device.threads=1", rates(JOBS)]
    ways = {SERIAL: runs, PARALLEL: ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", *runs]}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, words in ways.items():
            seconds[way].append(sweep(words))
    return seconds


def trivial_job(rounds: int, many: int = MANY) -> list[float]:
    """The seconds of a run with nothing to compute: of many more, shared out."""
    return [(sweep([*TRIVIAL, rates(many + 1)]) - sweep([*TRIVIAL, rates(1)])) / many for _ in range(rounds)]


def finished_jobs(rounds: int, count: int = FINISHED) -> list[float]:
    """The seconds of a sweep in which every run is finished already: read again, and summarised."""
    with tempfile.TemporaryDirectory() as name:
        runs = [*TRIVIAL, rates(count)]
        sweep(runs, Path(name))
        return [sweep(runs, Path(name)) for _ in range(rounds)]


def held_memory(overrides: list[str], count: int = MANY) -> list[float] | None:
    """The memory that a sweep's process holds after each run, in MB; None where the system does not tell."""
    if not os.path.exists("/proc/self/statm"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        told = startup.start(["-c", HELD, "-m", *overrides, "train.epochs=1", rates(count)], Path(folder), {})
    return [float(line.split()[1]) for line in told.splitlines() if line.startswith("held ")]
