"""``make bench``: epochs beside the book's own loop and pure compute; a step beside a plain one; start-up, sweeps.

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

import startup
import table
from rich.console import Console

from d2lrun.config.compose import compose
from d2lrun.errors import D2lrunError

RATIOS = {"mlp": (7.0, 1.15), "lenet": (2.5, 1.15)}  # book/d2lrun at least, d2lrun/pure at most
TEXTS = {"rnn": (1.2, 1.1), "lstm": (1.2, 1.1)}  # in tokens per second, the same
LOADING, BYTES = 2.0, 10.0  # seconds for a million characters, bytes a token: at most
SECONDS = {"d2lrun --cfg job": 0.4, "d2lrun --help": 0.7, "tab completion": 0.4}  # at most
LATER = 0.8  # seconds after the plain script at which d2lrun has taken its first step, at most
MEMORY = 700.0  # MB at most
SWEEP, JOB, REREAD = 1.15, 0.15, 10.0  # of pure compute, seconds a run, seconds of a thousand finished: at most
FASTER = 1.7  # with two processes, at least
STEPS = ["alexnet", "vgg", "nin", "resnet", "googlenet", "densenet", "lenet-bn"]
QUICK = ["train.limit_batches=5", "train.epochs=1"]
QUICK_STEPS, QUICK_BATCH = ["lenet-bn"], ["train.batch_size=8"]


def main() -> None:
    options = parse()
    quick = options.quick
    rounds, step_rounds = (1, 1) if quick else (options.rounds, options.step_rounds)
    networks = options.steps if options.steps is not None else QUICK_STEPS if quick else STEPS
    overrides = [*(QUICK if quick else []), *options.overrides]
    console = Console(highlight=False)
    try:
        for model in (*options.models, *networks):
            compose([f"model={model}", *overrides])  # what is refused is refused at once
        of_text = [word for word in overrides if not word.startswith("dataset")]  # which have a dataset of their own
        for model in options.texts:
            compose([f"model={model}", *of_text])
        show_startup(console, startup.measure(overrides, rounds), startup.peak_memory(overrides))
        show_epochs(console, options.models, overrides, rounds)
        if options.sweeps:
            show_sweeps(console, overrides, rounds, quick)
        show_texts(console, options.texts, of_text, rounds, quick)
        show_steps(
            console, networks, [*(QUICK_BATCH if quick else []), *overrides], step_rounds, quick, options.together
        )
    except D2lrunError as error:
        sys.exit(f"error: {error}\nhint: {error.hint}")
    if quick:
        console.print("a few batches, one round: this shows that it works, not how fast")
    else:
        console.print(f"{rounds} rounds, of steps {step_rounds}")
    console.print(machine(), soft_wrap=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time d2lrun beside the book's own loop and pure compute.")
    parser.add_argument("overrides", nargs="*", help="of the config, for all that is timed, such as device=cpu")
    parser.add_argument("--models", default=list(RATIOS), type=names, help="whose epochs are timed: a,b,…")
    parser.add_argument("--texts", default=list(TEXTS), type=names, help="whose tokens per second are timed: a,b,…")
    parser.add_argument("--steps", type=names, help="whose steps are timed: a,b,…; by default the modern networks")
    parser.add_argument("--no-sweeps", dest="sweeps", action="store_false", help="time no sweeps")
    parser.add_argument("--rounds", type=int, default=5, help="after one that is not counted; by default 5")
    parser.add_argument("--step-rounds", type=int, default=3, help="the same for the steps; by default 3")
    parser.add_argument("--together", action="store_true", help="time the steps of all ways in one process")
    parser.add_argument("--quick", action="store_true", help="one round of a few batches: does it work?")
    return parser.parse_intermixed_args()


def names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def show_startup(console: Console, seconds: dict[str, list[float]], memory: float | None) -> None:
    rows = table.columns("start-up and memory")
    for name, values in seconds.items():
        table.add(rows, name, values, "s", high=SECONDS.get(name))
    plain, d2lrun = seconds[startup.PLAIN], seconds[startup.D2LRUN]
    later = [ours - theirs for theirs, ours in zip(plain, d2lrun)]
    table.add(rows, "  later than that script by", later, "s", high=LATER)
    if memory is not None:
        table.add(rows, "peak memory of a default run", [memory], "MB", high=MEMORY)
    console.print(rows)


def show_epochs(console: Console, models: list[str], overrides: list[str], rounds: int) -> None:
    import epochs  # and torch: not before the processes above were timed

    for model in models:
        seconds = epochs.measure([f"model={model}", *overrides], rounds)
        rows = table.columns(f"an epoch of {model}")
        for way, values in seconds.items():
            table.add(rows, way, values, "s")
        low, high = RATIOS.get(model, (None, None))
        book, d2lrun, pure = seconds.values()
        table.add(rows, "book / d2lrun", [theirs / ours for theirs, ours in zip(book, d2lrun)], low=low)
        table.add(rows, "d2lrun / pure", [ours / least for ours, least in zip(d2lrun, pure)], high=high)
        console.print(rows)


def show_sweeps(console: Console, overrides: list[str], rounds: int, quick: bool) -> None:
    import sweeps

    many, finished = (2, 3) if quick else (sweeps.MANY, sweeps.FINISHED)
    seconds = sweeps.beside_pure(overrides, rounds)
    rows = table.columns(f"{sweeps.JOBS} runs of mlp, {sweeps.EPOCHS} epochs each")
    for way, values in seconds.items():
        table.add(rows, way, values, "s")
    ratios = [(whole - start) / pure for whole, start, pure in zip(*seconds.values())]
    table.add(rows, "(sweep - first step) / pure", ratios, high=SWEEP)
    if memory := sweeps.held_memory(overrides, many):
        for count in sorted({1, min(sweeps.JOBS, many), many}):
            table.add(rows, f"memory held after {count}", [memory[count - 1]], "MB")
    table.add(rows, "a run with nothing to compute", sweeps.trivial_job(1 if quick else 3, many), "s", high=JOB)
    table.add(rows, f"{finished:,} finished, read again", sweeps.finished_jobs(rounds, finished), "s", high=REREAD)
    console.print(rows)
    if not (seconds := sweeps.parallel(overrides, 1 if quick else 2)):
        return
    rows = table.columns(f"{sweeps.JOBS} runs of mlp, 1 thread each")
    for way, values in seconds.items():
        table.add(rows, way, values, "s")
    table.add(rows, "times as fast", [one / two for one, two in zip(*seconds.values())], low=FASTER)
    console.print(rows)


def show_texts(console: Console, models: list[str], overrides: list[str], rounds: int, quick: bool) -> None:
    import tokens

    for model in models:
        speeds = tokens.measure([f"model={model}", *overrides], rounds, 0.0 if quick else tokens.TURN)
        rows = table.columns(f"thousand tokens/s of {model}")
        for way, values in speeds.items():
            table.add(rows, way, [value / 1000 for value in values])
        low, high = TEXTS.get(model, (None, None))
        book, d2lrun, pure = speeds.values()
        table.add(rows, "d2lrun / book", [ours / theirs for theirs, ours in zip(book, d2lrun)], low=low)
        table.add(rows, "pure / d2lrun", [most / ours for ours, most in zip(d2lrun, pure)], high=high)
        console.print(rows)
    if models:
        seconds, size = tokens.load_text(rounds)
        rows = table.columns(f"a text of {tokens.CHARACTERS:,} characters")
        table.add(rows, "read and encode", seconds, "s", high=LOADING)
        table.add(rows, "memory of a token", [size], "B", high=BYTES)
        console.print(rows)


def show_steps(
    console: Console, networks: list[str], overrides: list[str], rounds: int, quick: bool, together: bool
) -> None:
    import steps

    for network in networks:
        steps.show_steps(console, network, overrides, rounds, 0.0 if quick else steps.TURN, not (together or quick))


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
