"""A training step by three ways, in turn; or the losses of two precisions.

All ways train the same network with the same optimizer, each built by d2lrun from the same config and seed:

plain        fp32 in torch's own memory order: zero_grad, forward, cross-entropy, backward, step on one batch that
             lies in memory, resized and scaled
d2lrun       its own loop: index, resize, scale, forward, loss, backward, all finite?, step, count
d2lrun bf16  the same with device.precision=bf16, where the hardware has it
data         of d2lrun's step the first three: index, resize, scale

    python benchmarks/steps.py resnet vgg --rounds 5
    python benchmarks/steps.py resnet --losses 100    # after 100 batches, in fp32 and in bf16

Each way has a process of its own, and the plain loop torch's defaults. With --together all share one process, and with
it what d2lrun asks of the memory allocator (fit.keep_freed_memory), which then speeds up the plain loop as well.

B batch, C channels, H height, W width.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from statistics import mean

import table
import torch
from rich.console import Console
from torch import Tensor
from torch.nn import functional as F

from d2lrun.config.compose import compose
from d2lrun.errors import D2lrunError
from d2lrun.runs import run
from d2lrun.tasks.classification.task import Classification
from d2lrun.training import devices
from d2lrun.training.fit import fit

FP32, BF16 = ["device.precision=fp32"], ["device.precision=bf16"]
PLAIN = [*FP32, "device.channels_last=false", "device.compile=false"]
AT_LEAST = 1.0  # d2lrun's steps per second, as a multiple of the plain loop's
AT_LEAST_BF16 = dict.fromkeys(("alexnet", "vgg", "nin", "resnet"), 2.0)
DATA = 5.0  # percent of d2lrun's step, at most
DIFFERENCE = 2.0  # percent between the losses, at most
LAST = 10  # batches whose mean loss is compared
TURN = 1.0  # seconds of steps in a turn; one step at least

WAYS = {"plain": PLAIN, "d2lrun": [], "d2lrun bf16": BF16, "data": []}  # each with the overrides that make it

Step = Callable[[], object]
Turn = Callable[[int], float]


def main() -> None:
    options = parse()
    overrides = [word for word in options.words if "=" in word]
    models = [word for word in options.words if "=" not in word]
    console = Console(highlight=False)
    try:
        for model in models:
            compose([f"model={model}", *overrides])  # what is refused is refused at once
        for model in models:
            if options.losses is None:
                show_steps(console, model, overrides, options.rounds, apart=not options.together)
            else:
                show_losses(console, model, overrides, options.losses)
    except D2lrunError as error:
        sys.exit(f"error: {error}\nhint: {error.hint}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time d2lrun's training step beside a plain loop's.")
    parser.add_argument("words", nargs="+", metavar="MODEL|OVERRIDE", help="networks; overrides such as device=cuda")
    parser.add_argument("--rounds", type=int, default=3, help="after a step of each that is not counted; by default 3")
    parser.add_argument("--together", action="store_true", help="all ways in one process")
    parser.add_argument("--losses", type=int, metavar="N", help="instead: train N batches in fp32 and in bf16")
    return parser.parse_intermixed_args()


def show_steps(
    console: Console, model: str, overrides: list[str], rounds: int, turn: float = TURN, apart: bool = False
) -> None:
    """Time a step of ``model`` by each way and print the table."""
    config = compose([f"model={model}", *overrides])
    seconds = measure([f"model={model}", *overrides], rounds, turn, apart)
    side = f"{config.dataset.resize}²" if config.dataset.resize else "as stored"
    rows = table.columns(f"a step of {model}, {config.train.batch_size} × {side}")
    for way, values in seconds.items():
        table.add(rows, way, [1000 * value for value in values], "ms")
    plain, d2lrun, bf16, data = (seconds.get(way) for way in ("plain", "d2lrun", "d2lrun bf16", "data"))
    table.add(rows, "plain / d2lrun", ratios(plain, d2lrun), low=AT_LEAST)
    if bf16:
        table.add(rows, "plain / d2lrun bf16", ratios(plain, bf16), low=AT_LEAST_BF16.get(model))
    else:
        rows.add_row("plain / d2lrun bf16", "none  ", "", "this device has no bf16")
    table.add(rows, "data / d2lrun", [100 * part for part in ratios(data, d2lrun)], "%", high=DATA)
    console.print(rows)


def ratios(upper: list[float], lower: list[float]) -> list[float]:
    """Round by round."""
    return [above / below for above, below in zip(upper, lower, strict=True)]


def measure(overrides: list[str], rounds: int, turn: float = TURN, apart: bool = False) -> dict[str, list[float]]:
    """The seconds of a step by each way in each round, taken in turn after a step of each that is not counted."""
    ways = {way: extra for way, extra in WAYS.items() if way != "d2lrun bf16" or has_bf16(overrides)}
    gc.collect()  # a network in mixed precision holds itself; of the one before nothing is to be left
    with ExitStack() as stack:
        turns = {
            way: in_a_process(stack, way, [*overrides, *extra]) if apart else make_turn(way, [*overrides, *extra])
            for way, extra in ways.items()
        }
        for take in turns.values():
            take(1)
        count = max(1, round(turn / turns["plain"](1)))
        seconds: dict[str, list[float]] = {way: [] for way in turns}
        for _ in range(rounds):
            for way, take in turns.items():
                seconds[way].append(take(count))
    return seconds


def in_a_process(stack: ExitStack, way: str, overrides: list[str]) -> Turn:
    """The same as ``make_turn``, but the steps are taken in a process of their own."""
    pool = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), prepare, (way, overrides)))
    return lambda count: pool.submit(take_turn, count).result()


def prepare(way: str, overrides: list[str]) -> None:
    global process_turn
    process_turn = make_turn(way, overrides)


def take_turn(count: int) -> float:
    return process_turn(count)


def make_turn(way: str, overrides: list[str]) -> Turn:
    """A function that takes so many steps one way and returns the seconds of one."""
    experiment = build(overrides)
    config, device = experiment.config.device, experiment.state.device
    step = plain_step(experiment) if way == "plain" else d2lrun_step(experiment)
    data = data_step(experiment)

    def turn(count: int) -> float:
        devices.prepare(config)  # torch's settings hold for the whole process
        if way != "data":
            return timed(step, count, device)
        seconds = 0.0
        for _ in range(count):
            step()  # which leaves the caches as the next batch finds them
            seconds += timed(data, 1, device)
        return seconds / count

    return turn


def timed(step: Step, count: int, device: torch.device) -> float:
    """The seconds of one of ``count`` steps."""
    wait(device)
    started = time.perf_counter()
    for _ in range(count):
        step()
    wait(device)
    return (time.perf_counter() - started) / count


def build(overrides: list[str]) -> run.Experiment:
    return run.build(compose(overrides), run.Log(Path(os.devnull), Console(quiet=True)))


def has_bf16(overrides: list[str]) -> bool:
    return "bf16" in devices.precisions(devices.resolve(compose(overrides).device.name))


def wait(device: torch.device) -> None:
    """Until the device has done what it was given; the CPU always has."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def plain_step(experiment: run.Experiment) -> Step:
    data, size = experiment.data, experiment.config.train.batch_size
    model, optimizer = experiment.state.model, experiment.state.optimizer
    images = data.prepared(data.train_images[:size]).contiguous()  # [B, C, H, W]
    labels = data.train_labels[:size]  # [B]
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()

    return step


def d2lrun_step(experiment: run.Experiment) -> Step:
    steps = training(experiment)
    return lambda: next(steps)


def training(experiment: run.Experiment) -> Iterator[None]:
    """d2lrun's own loop, stopped after every training batch and without what comes between two epochs."""
    config, state, split = experiment.config, experiment.state, experiment.split
    for epoch in cycle(range(config.train.epochs)):
        state.epoch = epoch
        state.begin_epoch()
        batches = split.train.shuffled(config.train.batch_size, config.seed, epoch)[: config.train.limit_batches]
        yield from islice(fit(state, split, experiment.task, config), len(batches))


def data_step(experiment: run.Experiment) -> Step:
    """A batch's way from the dataset to the network, as in fit."""
    part, config = experiment.split.train, experiment.config
    batches = cycle(part.shuffled(config.train.batch_size, config.seed, epoch=0))
    return lambda: part.load(next(batches))[0]


def show_losses(console: Console, model: str, overrides: list[str], count: int) -> None:
    """Train ``count`` batches in fp32 and in bf16 from the same seed and print the losses they came to."""
    overrides = [f"model={model}", *overrides]
    if not has_bf16(overrides):
        console.print(f"{model}: this device has no bf16")
        return
    fp32, bf16 = (mean(losses([*overrides, *precision], count)[-LAST:]) for precision in (FP32, BF16))
    rows = table.columns(f"loss of {model}, batches {max(1, count - LAST + 1)}-{count}")
    table.add(rows, "fp32", [fp32])
    table.add(rows, "bf16", [bf16])
    table.add(rows, "difference", [100 * abs(bf16 / fp32 - 1)], "%", high=DIFFERENCE)
    console.print(rows)


def losses(overrides: list[str], count: int) -> list[float]:
    """The loss of each of the first ``count`` batches of a run."""
    gc.collect()
    experiment = build(overrides)
    experiment.task = task = Recorded(experiment.data.outputs)
    for _ in islice(training(experiment), count):
        pass
    return task.losses


class Recorded(Classification):
    """The same task; it keeps the loss of every batch."""

    def __init__(self, classes: int):
        super().__init__(classes)
        self.losses: list[float] = []

    def count(self, logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
        self.losses.append(loss.item())
        return super().count(logits, labels, loss)


if __name__ == "__main__":
    main()
