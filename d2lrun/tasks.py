"""What a batch means: its loss, and what is counted of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

CHANCE_EPOCHS = 3  # LeNet sits at chance for a whole epoch and then learns (book 6.6)


class Classification:
    """Logits [B, K] against labels [B]: cross-entropy and accuracy."""

    metrics = ("loss", "accuracy")

    def __init__(self, classes: int):
        self.classes = classes

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy of the batch, in nats."""
        return F.cross_entropy(logits, labels)

    def count(self, logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
        """[summed loss, number correct] of a batch, on its device: add them up, divide at the end."""
        correct = (logits.argmax(dim=1) == labels).sum(dtype=loss.dtype)
        return torch.stack((loss * len(labels), correct))

    def dead(self, records: list[dict[str, Any]]) -> bool:
        """Whether training is, after its third epoch or later, no more than 3 % of the way from chance to all."""
        accuracy = records[-1]["train_accuracy"] if len(records) >= CHANCE_EPOCHS else 1.0
        return accuracy < 1 / self.classes + 0.03 * (1 - 1 / self.classes)
