"""Start-up and memory: whole processes in a clean environment, timed from outside. Imports no torch.

A time runs from the start of the process to its end. The two that train end right after their first
optimizer step, without tearing the interpreter down: the plain script on a batch of random numbers, d2lrun
(its whole command line: compose, check, claim a directory, find and verify the data) on its first batch.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAIN, D2LRUN = "plain torch script, first step", "d2lrun, first step"
KEPT = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMPDIR", "TEMP", "D2LRUN_CACHE", "D2LRUN_DATA")

PLAIN_SCRIPT = """
import os, torch
model = torch.nn.Sequential(torch.nn.Linear(784, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.nn.functional.cross_entropy(model(torch.rand(256, 784)), torch.randint(10, (256,))).backward()
optimizer.step()
os._exit(0)
"""

D2LRUN_SCRIPT = """
import os
from d2lrun.cli import main
from d2lrun.training import fit
def stop_after_one_step(*arguments):
    next(loop(*arguments))
    os._exit(0)
loop, fit.fit = fit.fit, stop_after_one_step
main.main()
"""

# The largest child's memory; a process between, because a child inherits the peak of the one that starts it.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def commands(overrides: list[str]) -> dict[str, tuple[list[str], dict[str, str]]]:
    """The processes to time by their names, each with what it adds to the environment."""
    d2lrun = ["-m", "d2lrun"]
    return {
        "d2lrun --cfg job": ([*d2lrun, "--cfg", "job", *overrides], {}),
        "d2lrun --help": ([*d2lrun, "--help"], {}),
        "tab completion": ([*d2lrun, "-sc", "query=bash"], {"COMP_LINE": "d2lrun model=", "COMP_POINT": "13"}),
        PLAIN: (["-c", PLAIN_SCRIPT], {}),
        D2LRUN: (["-c", D2LRUN_SCRIPT, *overrides], {}),
    }


def measure(overrides: list[str], rounds: int) -> dict[str, list[float]]:
    """The seconds of each process in each round, taken in turn after a round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in commands(overrides)}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name, (arguments, extra) in commands(overrides).items():
                started = time.perf_counter()
                start(arguments, Path(folder), extra)
                if number:
                    seconds[name].append(time.perf_counter() - started)
    return seconds


def peak_memory(overrides: list[str]) -> float | None:
    """The largest resident memory of a whole run, in MB; None where the system does not tell (Windows)."""
    if sys.platform == "win32":
        return None
    with tempfile.TemporaryDirectory() as folder:
        return child_peak(["-m", "d2lrun", *overrides], Path(folder))


def child_peak(arguments: list[str], folder: Path) -> float:
    """The largest resident memory of Python with these ``arguments``, in MB."""
    peak = int(start(["-c", PEAK, sys.executable, *arguments], folder, {}))
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # Linux counts in KiB


def start(arguments: list[str], folder: Path, extra: dict[str, str]) -> str:
    """Run Python in ``folder`` with little of this environment; returns what it prints."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | extra
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        raise SystemExit(f"error: {arguments} ended with {done.returncode}\n{done.stderr}")
    return done.stdout
