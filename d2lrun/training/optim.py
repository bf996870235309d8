"""Optimizers, and the learning rate as a pure function of time, so a checkpoint needs no scheduler state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def build(config: Any, parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Return the optimizer that the config group ``optimizer`` describes."""
    groups = list(parameters) if config.decay_bias else spared(parameters)
    shared = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.name == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.nesterov, **shared)
    adam = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return adam(groups, betas=(config.beta1, config.beta2), eps=config.eps, **shared)


def spared(parameters: Iterable[Tensor]) -> list[dict[str, Any]]:
    """Return two parameter groups: weights with decay, and biases and gains (one dimension) without (book 4.5)."""
    groups: list[dict[str, Any]] = [{"params": []}, {"params": [], "weight_decay": 0.0}]
    for parameter in parameters:
        groups[parameter.dim() <= 1]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def learning_rate(config: Any, lr: float, time: Fraction, epochs: int) -> float:
    """Return the learning rate after ``time`` of ``epochs`` epochs; 5/2 is the middle of the third epoch.

    ``config`` is the config group ``schedule``. The warm-up factor rises linearly from 0 to 1. Drops are counted in
    exact fractions, since 0.3 / 0.1 is less than 3 in floats.
    """
    whole, part = divmod(time, 1)
    epoch = whole + float(part)
    if config.name == "step":
        lr *= config.factor ** (time // decimal(config.every))
    elif config.name == "cosine":
        lr *= config.final + (1 - config.final) * (1 + math.cos(math.pi * epoch / epochs)) / 2
    return lr * min(1.0, epoch / config.warmup) if config.warmup else lr


def same_rates(config: Any, epochs: int, more: int) -> bool:
    """Whether a run of ``more`` epochs has the same learning rates in its first ``epochs`` as one of ``epochs``."""
    times = [Fraction(half, 2) for half in range(2 * epochs)]
    return all(learning_rate(config, 1.0, time, epochs) == learning_rate(config, 1.0, time, more) for time in times)


@lru_cache
def decimal(value: float) -> Fraction:
    """Return the number as it is written, such as 1/10 for 0.1, without the rounding error of the float."""
    return Fraction(str(value))
