"""Evaluate a model: its metrics over a subset, or its outputs for batches of inputs."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.training.task import Subset, Task


def evaluate(
    name: str, model: nn.Module, part: Subset, task: Task, size: int
) -> Generator[None, None, dict[str, float]]:
    """Return {"<name>_loss": …} over ``part`` in eval mode, in batches of ``size``; yields after each batch.

    The result does not depend on ``size``, except for the rounding of sums.
    """
    model.eval()
    sums: Any = 0.0  # a tensor from the first batch on
    units = 0
    for chain in part.ordered(size):
        carry = None
        for batch in chain:
            with torch.inference_mode():  # not around the yield: the mode would also hold in the caller
                inputs, targets = part.load(batch)
                logits, carry = task.forward(model, inputs, carry)
                sums = sums + task.count(logits, targets, task.loss(logits, targets)).to(precise(logits.device))
                units += part.count([batch])
            yield None
    return task.metrics(name, sums, units, part)


def precise(device: torch.device) -> torch.dtype:
    """Return the most precise floating-point type of the device, for sums over many batches."""
    return torch.float32 if device.type == "mps" else torch.float64


def exhaust(pausing: Generator[None, None, dict[str, float]]) -> dict[str, float]:
    """Run a generator to its end and return its result."""
    while True:
        try:
            next(pausing)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def over_batches(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """Return the outputs [N, …] of the model in eval mode for batches of inputs [B, …], concatenated."""
    model.eval()
    return torch.cat([model(inputs) for inputs in batches])
