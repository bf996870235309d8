"""Softmax regression (book 3.6, 3.7): one fully connected layer; the softmax is part of the loss."""

from __future__ import annotations

from math import prod

from torch import nn


class Softmax(nn.Sequential):
    """Images [B, C, H, W], or features [B, D] -> logits [B, classes]."""

    def __init__(self, *, inputs: tuple[int, ...], classes: int):
        super().__init__(
            nn.Flatten(),  # [B, C·H·W] or [B, D]
            nn.Linear(prod(inputs), classes),
        )
