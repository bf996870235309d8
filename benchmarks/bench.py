"""``make bench``: an epoch beside the book's own loop and beside pure compute; the start-up; the memory.

Everything that is compared is taken in turn, round by round. A ratio or difference is taken within a round
and its median over the rounds is shown, so that a noisy moment of the machine meets both sides.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

import startup
from rich.console import Console
from rich.table import Table
from rich.text import Text

from d2lrun.errors import D2lrunError

RATIOS = {"mlp": (7.0, 1.15), "lenet": (2.5, 1.15)}  # book/d2lrun at least, d2lrun/pure at most
SECONDS = {"d2lrun --cfg job": 0.4, "d2lrun --help": 0.7, "tab completion": 0.4}  # at most
LATER = 0.8  # seconds after the plain script at which d2lrun has taken its first step, at most
MEMORY = 700.0  # MB at most
QUICK = ["train.limit_batches=5", "train.epochs=1"]


def main() -> None:
    options = parse()
    rounds = 1 if options.quick else options.rounds
    overrides = [*(QUICK if options.quick else []), *options.overrides]
    console = Console(highlight=False)
    try:
        show_startup(console, startup.measure(overrides, rounds), startup.peak_memory(overrides))
        show_epochs(console, options.models, overrides, rounds)
    except D2lrunError as error:
        sys.exit(f"error: {error}\nhint: {error.hint}")
    if options.quick:
        console.print("a few batches, one round: this shows that it works, not how fast")
    console.print(f"{rounds} round{'s' * (rounds > 1)} on {machine()}", soft_wrap=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time d2lrun beside the book's own loop and pure compute.")
    parser.add_argument("overrides", nargs="*", help="of the config, for all that is timed, such as device=cpu")
    parser.add_argument("--models", default=",".join(RATIOS), type=lambda names: names.split(","))
    parser.add_argument("--rounds", type=int, default=5, help="after one that is not counted; by default 5")
    parser.add_argument("--quick", action="store_true", help="one round of a few batches: does it work?")
    return parser.parse_args()


def show_startup(console: Console, seconds: dict[str, list[float]], memory: float | None) -> None:
    table = columns("start-up and memory")
    for name, values in seconds.items():
        add(table, name, values, "s", high=SECONDS.get(name))
    plain, d2lrun = seconds[startup.PLAIN], seconds[startup.D2LRUN]
    add(table, "  later than that script by", [ours - theirs for theirs, ours in zip(plain, d2lrun)], "s", high=LATER)
    if memory is not None:
        add(table, "peak memory of a default run", [memory], "MB", high=MEMORY)
    console.print(table)


def show_epochs(console: Console, models: list[str], overrides: list[str], rounds: int) -> None:
    import epochs  # and torch: not before the processes above were timed

    for model in models:
        seconds = epochs.measure([f"model={model}", *overrides], rounds)
        table = columns(f"an epoch of {model}")
        for way, values in seconds.items():
            add(table, way, values, "s")
        low, high = RATIOS.get(model, (None, None))
        book, d2lrun, pure = seconds.values()
        add(table, "book / d2lrun", [theirs / ours for theirs, ours in zip(book, d2lrun)], low=low)
        add(table, "d2lrun / pure", [ours / least for ours, least in zip(d2lrun, pure)], high=high)
        console.print(table)


def columns(title: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, no_wrap=True, min_width=31)
    table.add_column("median", no_wrap=True, justify="right", min_width=8)
    table.add_column("range", no_wrap=True, justify="right", min_width=13)
    table.add_column("wanted", no_wrap=True)
    return table


def add(
    table: Table, name: str, values: list[float], unit: str = "", low: float | None = None, high: float | None = None
) -> None:
    """A row: the median of ``values``, their range, and whether the median keeps its bound."""
    middle, digits = median(values), 0 if unit == "MB" else 2
    bound = f"at least {low:g}" if low is not None else f"at most {high:g}" if high is not None else ""
    met = (low is None or middle >= low) and (high is None or middle <= high)
    table.add_row(
        name,
        f"{middle:.{digits}f} {unit:<2}",
        f"{min(values):.{digits}f} - {max(values):.{digits}f}",
        Text(bound) if met else Text(f"{bound}: missed", "red"),
    )


def machine() -> str:
    """The processor, its cores, the system, Python, torch and its threads."""
    import torch

    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


def processor() -> str:
    """The processor's name, which each system keeps elsewhere."""
    if sys.platform == "darwin":
        return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], encoding="utf-8").strip()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
        return names[0] if names else platform.machine()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
