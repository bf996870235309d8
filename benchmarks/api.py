"""The interface from Python beside the command line: the same short run as whole processes, in alternation.

    python benchmarks/api.py [--rounds N] [OVERRIDE...]

Prints the median of each: the command; a program that calls ``d2lrun.train``; a second ``train`` in that program, which
imports nothing; ``import d2lrun`` alone; and the training loop, as result.json has it, which all of them share.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SHORT = ["model=mlp", "train.epochs=1", "device=cpu", "run.pictures=false"]
PROGRAM = """
import sys, time
begun = time.perf_counter()
import d2lrun
imported = time.perf_counter()
d2lrun.train(*sys.argv[1:])
first = time.perf_counter()
run = d2lrun.train(*sys.argv[1:])
print(imported - begun, first - imported, time.perf_counter() - first, run.result["seconds"])
"""


def command(words: list[str], folder: Path) -> float:
    """Seconds of the command line, from the start of the process to its end."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "d2lrun", *words], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - begun


def program(words: list[str], folder: Path) -> dict[str, float]:
    """Seconds of the program, from the start of the process to the end of its first run, and of its parts."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=folder, check=True, capture_output=True)
    imported, _, second, loop = map(float, done.stdout.split())
    whole = time.perf_counter() - begun
    return {"program": whole - second, "import d2lrun": imported, "second train": second, "its loop": loop}


def measure(words: list[str], rounds: int) -> dict[str, list[float]]:
    """The seconds of each round; the first round, which warms the disk, does not count."""
    found: dict[str, list[float]] = {}
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for name, seconds in {"command": command(words, Path(folder)), **program(words, Path(folder))}.items():
                found.setdefault(name, []).append(seconds)
    return {name: seconds[1:] for name, seconds in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options, more = parser.parse_known_args()
    found = {name: median(seconds) for name, seconds in measure([*SHORT, *more], options.rounds).items()}
    for name, seconds in found.items():
        print(f"{name:<14} {seconds:8.3f} s")
    print(json.dumps({"overhead": round(found["program"] - found["command"], 3)}))


if __name__ == "__main__":
    main()
