"""The training loop: a generator that yields after every batch, so that its caller can save, print or stop.

It yields None after a batch, and the record (a line of metrics.jsonl) after an epoch. At each yield the ``State``
is complete: the caller may save it and later continue from it with the same bits. The dataset is on the device as
uint8 and a batch is an index into it; sums stay on the device until the end of the epoch.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import hypot, inf, isfinite, nan
from time import perf_counter
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm
from torch.nn.utils import clip_grads_with_norm_

from d2lrun.config.keys import Config
from d2lrun.config.metrics import better_first, main_metric
from d2lrun.errors import Diverged, Failed
from d2lrun.training import devices
from d2lrun.training.evaluate import evaluate
from d2lrun.training.optim import learning_rate, set_rate
from d2lrun.training.task import Course, Split, Subset, Task

Pauses: TypeAlias = Iterator["dict[str, Any] | None"]


@dataclass
class State:
    """Everything that changes while a run trains; a checkpoint holds it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # of the loss, in fp16
    sums: Tensor  # the sums of the task in this epoch so far
    epoch: int = 0  # finished epochs
    batch: int = 0  # batches done in this epoch
    step: int = 0  # batches done in all epochs
    seconds: float = 0.0  # of this epoch so far
    norms: float = 0.0  # sum of the gradient norms of this epoch
    units: int = 0  # examples or tokens of this epoch so far
    clipped: int = 0  # steps of this epoch whose gradient was clipped
    skipped: int = 0  # batches of this epoch whose gradient was too large for fp16
    carry: Any = None  # hidden state of a recurrent network for the next batch
    records: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] | None = field(default_factory=list)  # {epoch, text} of a language model, if known
    best: dict[str, Any] | None = None  # of the best epoch, if it is kept: epoch, val_loss, value and weights
    origin: str | None = None  # the kind of device on which the loaded checkpoint was saved

    OF_AN_EPOCH = ("batch", "seconds", "norms", "units", "clipped", "skipped", "carry")
    COUNTERS = ("epoch", "step", *OF_AN_EPOCH, "records", "samples", "best")
    OPTIONAL = ("samples",)  # None if an earlier version wrote the checkpoint without it

    def begin_epoch(self) -> None:
        """Reset all values of the epoch to their state before the first batch."""
        for name in self.OF_AN_EPOCH:
            setattr(self, name, getattr(type(self), name))
        self.sums.zero_()

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.sums.device

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain data, including the random generators."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "rng": devices.rng_state(self.device),
            **{name: getattr(self, name) for name in self.COUNTERS},
        }

    def load_sums(self, saved: Tensor) -> None:
        """Load the sums of this epoch. After its first batch, those that were not saved are NaN.

        A run that continues with another sweep.metric may need other sums.
        """
        known = min(len(self.sums), len(saved))
        self.sums.fill_(nan if saved.any() else 0.0)[:known].copy_(saved[:known])

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load ``state`` from any device; raises RuntimeError or KeyError if it does not fit."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.load_sums(state["sums"])
        devices.set_rng_state(state["rng"], self.device)
        self.origin = devices.device_of(state["rng"])
        for name in self.COUNTERS:
            setattr(self, name, state.get(name) if name in self.OPTIONAL else state[name])
        self.carry = moved(self.carry, self.device)


def moved(carry: Any, device: torch.device) -> Any:
    """Return a hidden state (a tensor, a tuple of tensors, or None) on the device."""
    if isinstance(carry, tuple):
        return tuple(part.to(device) for part in carry)
    return None if carry is None else carry.to(device)


def fit(state: State, split: Split[Subset], task: Task, config: Config) -> Pauses:
    """Train ``state`` until ``config.train.epochs``, or until patience runs out.

    All arguments are on one device. Raises Diverged before a step if the loss or the gradient is not finite.
    """
    train = config.train
    keep_freed_memory()
    while state.epoch < train.epochs and not exhausted(state, train.patience):
        batches = split.train.shuffled(train.batch_size, config.seed, state.epoch)[: train.limit_batches]
        state.model.train()
        for batch in batches[state.batch :]:
            started = perf_counter()
            time = state.epoch + Fraction(state.batch, len(batches))
            lr = learning_rate(config.schedule, config.optimizer.lr, time, train.epochs)
            train_batch(state, *split.train.load(batch), task, lr, train.clip)
            state.units += split.train.count([batch])
            state.seconds += perf_counter() - started
            yield None
        record = yield from close_epoch(state, split, task, config)
        yield record


def steps(state: State, split: Split[Subset], task: Task, config: Config) -> Course:
    """Return the Course of a network that learns by the steps of ``fit``."""
    batches = split.train.shuffled(config.train.batch_size, config.seed, epoch=0)[: config.train.limit_batches]
    return Course(batches, fit(state, split, task, config))


def keep_freed_memory() -> None:
    """Reuse the memory that a step frees in the next step.

    By default glibc returns it to the kernel and gets it back page by page: 3,000 page faults and a sixth of the time
    in a step of LeNet, 1.5 million and a third in a step of NiN. Other C libraries have no such option.
    """
    memory_options(most_blocks=0, most_free=-1)


def return_freed_memory() -> None:
    """Return freed memory to the kernel again, as a new process does."""
    memory_options(most_blocks=1 << 16, most_free=1 << 17)


def memory_options(most_blocks: int, most_free: int) -> None:
    """Set glibc's number of blocks outside the heap, and of free bytes at its end before it shrinks (-1: never)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(-4, most_blocks)  # M_MMAP_MAX
        mallopt(-1, most_free)  # M_TRIM_THRESHOLD


def train_batch(state: State, inputs: Any, targets: Tensor, task: Task, lr: float, clip: float | None) -> None:
    """Take one optimizer step on inputs [B, …] and targets [B, …]; raises Diverged, or Failed without gradients."""
    state.optimizer.zero_grad()
    logits, left = task.forward(state.model, inputs, state.carry)
    state.carry = left if task.stateful else None
    loss = task.loss(logits, targets)
    if not loss.requires_grad:
        hint = "compute it without detach(), .data and torch.no_grad()"
        raise Failed("the output of the network does not depend on parameters that are trained", hint)
    state.scaler.scale(loss).backward()
    state.scaler.unscale_(state.optimizer)
    parameters = [one for group in state.optimizer.param_groups for one in group["params"] if one.grad is not None]
    norms = [vector_norm(parameter.grad) for parameter in parameters]
    value, *lengths = torch.stack((loss.detach(), *norms)).tolist()
    length = hypot(*lengths)
    too_large = isfinite(value) and not isfinite(length) and scale_left(state.scaler)
    if not isfinite(value + length) and not too_large:
        raise Diverged(
            f"diverged: loss {value:g}, gradient norm {length:g} at epoch {state.epoch + 1}, "
            f"step {state.step + 1}, lr {lr:g}; the step was not taken",
            "try a smaller optimizer.lr, or train.clip=1",
        )
    if clip is not None and not too_large:
        clip_grads_with_norm_(parameters, clip, torch.tensor(length))
        state.norms += length
        state.clipped += length > clip
    set_rate(state.optimizer, lr)
    state.scaler.step(state.optimizer)  # skips the step if its gradient was too large for fp16
    state.scaler.update()  # then halves the scale for the next step
    state.sums += task.count(logits.detach(), targets, loss.detach())
    state.skipped += too_large
    state.batch += 1
    state.step += 1


def scale_left(scaler: torch.amp.GradScaler) -> bool:
    """Whether the scale for fp16 may be the only reason for a gradient that is not finite."""
    return scaler.is_enabled() and scaler.get_scale() > 1


def close_epoch(
    state: State, split: Split[Subset], task: Task, config: Config
) -> Generator[None, None, dict[str, Any]]:
    """Evaluate, then move the state to the next epoch; return the epoch's record."""
    started = perf_counter()
    learned = task.metrics("train", state.sums, state.units)
    if task.remeasure_train:
        learned = yield from remeasure(state.model, split, task, config)
    measured = yield from evaluate_epoch(state.model, split, task, config)
    seconds = state.seconds + perf_counter() - started
    record = {
        "epoch": state.epoch + 1,
        "step": state.step,
        "seconds": seconds,
        "lr": state.optimizer.param_groups[0]["lr"],
        **learned,
        **measured,
        **task.weight_metrics(state.model),
        f"{task.unit}_per_second": state.units / seconds,
    }
    if config.train.clip is not None:
        steps = max(1, state.batch - state.skipped)
        record["grad_norm"], record["clipped"] = state.norms / steps, state.clipped / steps
    if config.train.patience or config.train.keep == "best":
        keep_best(state, record, watched(record, config))
    state.records.append(record)
    state.epoch += 1
    state.begin_epoch()
    return record


def watched(record: dict[str, Any], config: Config) -> str:
    """Return the validation metric whose best epoch is kept: val_loss, or the ranking metric with train.keep=best."""
    ranking = main_metric(record, config.sweep.metric) if config.train.keep == "best" else None
    return ranking or "val_loss"


def keep_best(state: State, record: dict[str, Any], metric: str) -> None:
    """Keep a copy of the weights with the best ``metric``; a value that is not finite counts as the worst."""
    value = better_first(metric) * record[metric]  # a lower value is better
    value = value if isfinite(value) else inf
    if state.best is None or value < state.best.get("value", state.best["val_loss"]):
        weights = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
        loss = record["val_loss"] if isfinite(record["val_loss"]) else inf
        state.best = {"epoch": record["epoch"], "val_loss": loss, "value": value, "model": weights}


def remeasure(
    model: nn.Module, split: Split[Subset], task: Task, config: Config
) -> Generator[None, None, dict[str, float]]:
    """Return the metrics of the training part in eval mode, with the weights after the epoch."""
    part, train = split.train, config.train
    part = part if train.limit_batches is None else part.limited(train.limit_batches, train.batch_size)
    return (yield from evaluate("train", model, part, task, train.batch_size))


def evaluate_epoch(
    model: nn.Module, split: Split[Subset], task: Task, config: Config
) -> Generator[None, None, dict[str, float]]:
    """Return the metrics of the subset that the split monitors after every epoch, such as val or test."""
    if split.monitored is None:
        return {}
    name, part = split.monitored
    return (yield from evaluate(name, model, part, task, config.train.batch_size))


def exhausted(state: State, patience: int | None) -> bool:
    """Whether ``patience`` epochs have passed without a better value of the watched metric."""
    return bool(patience and state.best and state.epoch - state.best["epoch"] >= patience)
