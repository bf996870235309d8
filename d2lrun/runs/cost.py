"""``d2lrun cost``: time a few steps to estimate how long the whole run takes on this machine."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.config.keys import Config
from d2lrun.config.tables import network_of
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.report.text import duration, say
from d2lrun.runs.run import Experiment, Log, build, explained
from d2lrun.training import devices, threads
from d2lrun.training.fit import keep_freed_memory, train_batch
from d2lrun.training.task import Subset

if TYPE_CHECKING:
    from rich.console import Console

LONG = 180  # seconds; for a longer run, print how to make it shorter
MEASURING = 3.0  # seconds of repeated timing; a single long step may take more
LOOK = ("train.epochs=1", "train.limit_batches=5")  # the overrides that QUICK=1 adds to a long chapter of the Makefile


@dataclass(frozen=True)
class Cost:
    """Seconds per training step and per evaluated batch, and how many of each a run has."""

    step: float
    evaluation: float
    steps: int  # per epoch
    evaluations: int  # per epoch
    epochs: int
    runs: int = 1  # with K folds: one per fold, and one more for the refit
    waiting: float = 0.0  # share of the measured time that threads waited for a core, from 0 to 1

    @property
    def seconds(self) -> float:
        """The estimated seconds of the whole run."""
        return self.runs * self.epochs * (self.steps * self.step + self.evaluations * self.evaluation)

    @property
    def busy(self) -> bool:
        """Whether other programs used the cores that the measurement needed."""
        return self.waiting > threads.BUSY


def measure(config: Config, console: Console) -> tuple[Cost, Experiment]:
    """Build what ``config`` names and time it on one batch; nothing is saved. Raises the same errors as a run."""
    if not network_of(config.model).steps:
        name = config.model.name
        raise Refused(f"model={name} has no steps to time: it counts once, in seconds", f"d2lrun model={name}")
    try:
        return timings(build(config, Log(Path(os.devnull), console)))
    except RuntimeError as error:
        raise explained(error, config) or error from error


def timings(experiment: Experiment[Any, Subset]) -> tuple[Cost, Experiment]:
    """Time the experiment on its first batch, with the same steps as ``fit``; return (cost, experiment)."""
    keep_freed_memory()
    config = experiment.config
    split, state, task, train = experiment.split, experiment.state, experiment.task, config.train
    monitored = split.monitored[1] if split.monitored else None
    batches, _ = task.learn(state, split, config)
    measured = [] if monitored is None else [*chain.from_iterable(monitored.ordered(train.batch_size))]
    again = len(batches) if task.remeasure_train else 0  # the training part is measured too

    def step() -> None:
        state.model.train()
        train_batch(state, *split.train.load(batches[0]), task, lr=0.0, clip=train.clip)

    example = measured[len(measured) // 2] if measured else batches[0]  # a middle batch has the usual size

    @torch.inference_mode()
    def evaluation() -> None:
        state.model.eval()
        logits, _ = task.forward(state.model, (monitored or split.train).load(example)[0], None)
        logits.sum().item()  # wait until the GPU has finished

    evaluations = len(measured) + again
    usage = threads.Usage()
    evaluated = timed(evaluation) if evaluations else 0.0
    stepped = timed(step)
    cost = Cost(stepped, evaluated, len(batches), evaluations, train.epochs, runs_of(config), usage.share() or 0.0)
    return cost, experiment


def runs_of(config: Config) -> int:
    """Return how many times the config trains; a refit counts as one more fold."""
    validation = config.validation
    if validation.name != "kfold" or validation.fold is not None:
        return 1
    return validation.k * validation.repeats + validation.refit


def timed(action: Callable[[], None]) -> float:
    """Return the seconds of one call: the minimum of several calls, after one warm-up call."""
    action()
    least, began = math.inf, time.perf_counter()
    while True:
        started = time.perf_counter()
        action()
        now = time.perf_counter()
        least = min(least, now - started)
        if now - began > MEASURING:
            return least


def show_cost(console: Console, config: Config, cost: Cost, device: torch.device) -> None:
    """Print how long the run takes and, if it is long, how to make it shorter."""
    computing = f" with {counted(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    where = f"the {device.type}{computing}"
    if cost.busy:
        say(console, "this machine is busy: other programs use the cores that a run needs")
    if cost.busy and cost.seconds >= LONG:
        say(
            console,
            f"{config.model.name} on {where}: a step took {cost.step:.2g} s just now; after these programs end, "
            "measure again to see how long a run takes",
        )
        return
    say(console, f"{config.model.name} on {where}: about {duration(cost.seconds)}")
    if cost.seconds < LONG:
        return
    batches = counted(cost.evaluations, "evaluated batch", "evaluated batches")
    batches = counted(cost.evaluations, "evaluated batch", "evaluated batches")
    times = f"{cost.runs} × {cost.epochs}" if cost.runs > 1 else f"{cost.epochs}"
    say(
        console,
        f"  {times} × ({counted(cost.steps, 'step')} of {cost.step:.2g} s + {batches} of "
        f"{cost.evaluation:.2g} s), measured just now",
    )
    faster = [kind for kind in devices.precisions(device) if kind != "fp32"]
    if config.device.precision == "fp32" and faster:
        say(console, f"  device.precision={faster[0]} may halve it; a look takes {' '.join(LOOK)} (make: QUICK=1)")
    else:
        say(console, f"  a look takes {' '.join(LOOK)} (make: QUICK=1)")
