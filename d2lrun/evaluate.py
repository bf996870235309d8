"""A model measured: metrics over a set of examples, and the probability of each class."""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor, nn

from d2lrun.datasets.images import scale
from d2lrun.tasks import Classification


def evaluate(
    part: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    task: Classification,
    batch_size: int,
    limit_batches: int | None = None,
) -> Generator[None, None, dict[str, float]]:
    """{"<part>_loss": …} in eval mode on images [N, C, H, W] uint8; pauses after every batch."""
    model.eval()
    logits = []
    for some in images.split(batch_size)[:limit_batches]:
        with torch.inference_mode():  # not around the pause: it would reach into the caller
            logits.append(model(scale(some)))  # [B, K]
        yield None
    with torch.inference_mode():
        measured = torch.cat(logits)  # [N, K]
        targets = labels[: len(measured)]
        sums = task.count(measured, targets, task.loss(measured, targets))
    return averages(part, task, sums, len(targets))


def averages(part: str, task: Classification, sums: Tensor, examples: int) -> dict[str, float]:
    """{"train_loss": …, "train_accuracy": …}: the one place where counts leave the device."""
    return {f"{part}_{name}": total / examples for name, total in zip(task.metrics, sums.tolist())}


def exhaust(pausing: Generator[None, None, dict[str, float]]) -> dict[str, float]:
    """Run a pausing measurement to its end."""
    while True:
        try:
            next(pausing)
        except StopIteration as end:
            return end.value


@torch.inference_mode()
def probabilities(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """The probability of each class [N, K] for images [N, C, H, W] uint8."""
    model.eval()
    return torch.cat([model(scale(some)).softmax(dim=1) for some in images.split(batch_size)])
