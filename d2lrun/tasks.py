"""What a batch means: its loss, and what is counted of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class Classification:
    """Logits [B, K] against labels [B]: cross-entropy and accuracy."""

    metrics = ("loss", "accuracy")

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean cross-entropy of the batch, in nats."""
        return F.cross_entropy(logits, labels)

    def count(self, logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
        """[summed loss, number correct] of a batch, on its device: add them up, divide at the end."""
        correct = (logits.argmax(dim=1) == labels).sum(dtype=loss.dtype)
        return torch.stack((loss * len(labels), correct))
