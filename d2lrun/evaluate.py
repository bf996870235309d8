"""A model measured: metrics over a set of examples, and the probability of each class."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import torch
from torch import Tensor, nn

from d2lrun.tasks import Classification


def evaluate(
    part: str,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    task: Classification,
) -> Generator[None, None, dict[str, float]]:
    """{"<part>_loss": …} in eval mode over batches of inputs [B, …] and labels [B]; pauses after each."""
    model.eval()
    measured, labels = [], []
    for inputs, targets in batches:
        with torch.inference_mode():  # not around the pause: it would reach into the caller
            measured.append(model(inputs))  # [B, K]
        labels.append(targets)
        yield None
    with torch.inference_mode():
        logits, targets = torch.cat(measured), torch.cat(labels)  # [N, K], [N]
        sums = task.count(logits, targets, task.loss(logits, targets))
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
def probabilities(model: nn.Module, batches: Iterable[Tensor]) -> Tensor:
    """The probability of each class [N, K] over batches of inputs [B, …]."""
    model.eval()
    return torch.cat([model(inputs).softmax(dim=1) for inputs in batches])
