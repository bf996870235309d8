"""Optimizers, and the learning rate as a pure function of time, so a checkpoint needs no scheduler state."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.errors import Refused


def build(config: Any, parameters: Iterable[Tensor], head: Iterable[Tensor] = ()) -> torch.optim.Optimizer:
    """Return the optimizer that the config group ``optimizer`` describes.

    The parameters that are also in ``head`` learn at ``config.head_factor`` times the learning rate (book 13.2).
    """
    last = {id(parameter) for parameter in head}
    body: list[Tensor] = []
    top: list[Tensor] = []
    for parameter in parameters:
        (top if id(parameter) in last else body).append(parameter)
    groups = [*grouped(body, config), *({**group, "factor": config.head_factor} for group in grouped(top, config))]
    shared = {"lr": config.lr, "weight_decay": config.weight_decay}
    if config.name == "sgd":
        return plain(torch.optim.SGD)(groups, momentum=config.momentum, nesterov=config.nesterov, **shared)
    adam = plain({"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name])
    return adam(groups, betas=(config.beta1, config.beta2), eps=config.eps, **shared)


@cache
def plain(optimizer: type[torch.optim.Optimizer]) -> type[Any]:
    """Return the optimizer without torch's wrappers for torch.compile, whose first call imports the compiler: 2 s.

    The steps are the same to the bit. torch.compile must not trace such an optimizer; d2lrun compiles only the network.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in names}
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {**methods, "step": step})


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every parameter group: ``lr`` times the factor of the group, if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("factor", 1.0)


def head_of(model: nn.Module, outputs: int) -> list[Tensor]:
    """Return the parameters of the last layer, for optimizer.head_factor.

    It is the layer of the last parameter. Raises Refused if that is not the layer of the outputs, if there is no other
    layer, if it shares its parameters with another, or if it is frozen.
    """
    named = list(model.named_parameters(remove_duplicate=False))
    owner = named[-1][0].rpartition(".")[0] if named else ""
    layer: list[Tensor] = [parameter for name, parameter in named if name.rpartition(".")[0] == owner]
    others = {id(parameter) for name, parameter in named if name.rpartition(".")[0] != owner}
    if not others or any(each.shape[:1] != (outputs,) or id(each) in others for each in layer):
        reason = "this network has no last layer of its own that makes the outputs"
    elif not any(parameter.requires_grad for parameter in layer):
        reason = f"the last layer, {owner}, is frozen"
    else:
        return layer
    raise Refused(f"optimizer.head_factor: {reason}", "optimizer.head_factor=1")


def grouped(parameters: list[Tensor], config: Any) -> list[dict[str, Any]]:
    """Return the parameter groups of the optimizer: one, or if ``decay_bias`` is false two; none without parameters."""
    if not config.decay_bias:
        return spared(parameters)
    return [{"params": parameters}] if parameters else []


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
