"""A model measured: metrics over a part of a dataset, the probability of each class, predicted numbers."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.training.task import Subset, Task


def evaluate(
    name: str, model: nn.Module, part: Subset, task: Task, size: int
) -> Generator[None, None, dict[str, float]]:
    """{"<name>_loss": …} in eval mode over all of ``part``, in batches of ``size``; pauses after each.

    The result does not depend on ``size``, but for the rounding of sums.
    """
    model.eval()
    sums: Any = 0.0  # a tensor from the first batch on
    units = 0
    for chain in part.ordered(size):
        carry = None
        for batch in chain:
            with torch.inference_mode():  # not around the pause: it would reach into the caller
                inputs, targets = part.load(batch)
                logits, carry = task.forward(model, inputs, carry)
                sums = sums + task.count(logits, targets, task.loss(logits, targets)).to(precise(logits.device))
                units += part.count([batch])
            yield None
    return task.metrics(name, sums, units, part)


def precise(device: torch.device) -> torch.dtype:
    """The type for sums over many batches."""
    return torch.float32 if device.type == "mps" else torch.float64


def exhaust(pausing: Generator[None, None, dict[str, float]]) -> dict[str, float]:
    """Run a pausing measurement to its end."""
    while True:
        try:
            next(pausing)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def over_batches(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """What the model gives in eval mode for batches of inputs [B, …], one after the other: [N, …]."""
    model.eval()
    return torch.cat([model(inputs) for inputs in batches])
