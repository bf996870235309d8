"""Training steps per second by d2lrun's own threads and by fixed choices, in turn: alone and beside a busy process.

d2lrun   what d2lrun chooses (d2lrun/training/threads.py)
one      one thread
spin     a thread for each core, which spins while it waits: what torch does by itself
sleep    a thread for each core, which sleeps while it waits (OMP_WAIT_POLICY=passive)

    python benchmarks/threads.py mlp lenet rnn
    python benchmarks/threads.py mlp --jobs 2     # the sum of two runs at the same time, as in a sweep

Each way has a process of its own (with --jobs several), which lives through all rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steps import Step

OPENMP = ("OMP_", "GOMP_", "KMP_", "MKL_")
CORES = f"device.threads={os.cpu_count()}"
WAYS = {  # overrides, and variables that OpenMP reads
    "d2lrun": ([], {}),
    "one": (["device.threads=1"], {}),
    "spin": ([CORES], {"GOMP_SPINCOUNT": "300001"}),
    "sleep": ([CORES], {"OMP_WAIT_POLICY": "passive"}),
}
SETTLED = 2.0  # seconds of steps before the first round, in which d2lrun finds out how busy the machine is


def main() -> None:
    options = parse()
    if options.serve:
        serve(options.words)
        return
    from rich.console import Console

    console = Console(highlight=False)
    overrides = [word for word in options.words if "=" in word]
    for model in (word for word in options.words if "=" not in word):
        for busy in options.busy:
            speeds = measure([f"model={model}", *overrides], options.rounds, options.turn, busy, options.jobs)
            show(console, f"{model}, beside {busy} busy" if busy else f"{model}, alone", speeds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time training steps by several choices of threads.")
    parser.add_argument("words", nargs="+", metavar="MODEL|OVERRIDE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=1.0, metavar="SECONDS", help="of a way in a round")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1], help="numbers of busy processes; by default 0 1")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args()


def show(console: object, title: str, speeds: dict[str, list[float]]) -> None:
    import table

    best = max(map(median, speeds.values()))
    rows = table.columns(title)
    for way, values in speeds.items():
        table.add(rows, f"{way:<9}{median(values) / best:.2f} of the best", values, "steps/s")
    console.print(rows)


def measure(overrides: list[str], rounds: int, turn: float, busy: int, jobs: int) -> dict[str, list[float]]:
    """The steps per second of each way in each round; of several jobs their sum."""
    with ExitStack() as stack:
        served = {way: [stack.enter_context(server(overrides, way)) for _ in range(jobs)] for way in WAYS}
        for _ in range(busy):
            stack.enter_context(process(["-c", "while True: pass"], {}))
        for running in served.values():
            steps_per_second(running, SETTLED if turn >= 1 else turn)
        speeds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, running in served.items():
                speeds[way].append(steps_per_second(running, turn))
    return speeds


def steps_per_second(running: list[subprocess.Popen], turn: float) -> float:
    for each in running:
        each.stdin.write(f"{turn}\n")
        each.stdin.flush()
    return sum(float(each.stdout.readline()) for each in running)


@contextmanager
def server(overrides: list[str], way: str) -> Iterator[subprocess.Popen]:
    """A process that takes steps of training the given way when it is asked to."""
    extra, variables = WAYS[way]
    with process([__file__, "--serve", *overrides, *extra], variables) as started:
        if started.stdout.readline() != "ready\n":
            sys.exit(f"{way}: it did not start")
        yield started


@contextmanager
def process(words: list[str], variables: dict[str, str]) -> Iterator[subprocess.Popen]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OPENMP)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *words], text=True, env=kept | variables, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


def serve(overrides: list[str]) -> None:
    """Answer each number of seconds on stdin with the steps per second of that time."""
    from d2lrun.training.threads import prepare_waiting

    prepare_waiting()
    import steps

    step = steps.d2lrun_step(steps.build([*overrides, f"train.epochs={10**6}"]))
    step()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{rate(step, float(line))}\n")
        sys.stdout.flush()


def rate(step: Step, turn: float) -> float:
    count, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < turn or not count:
        step()
        count += 1
    return count / passed


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
