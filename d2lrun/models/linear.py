"""Linear regression (book 3.1-3.3): a weighted sum of the features, or of the values of a window: autoregression."""

from __future__ import annotations

from torch import nn


class Linear(nn.Linear):
    """Features [B, D] -> predictions [B, classes]; a regression or forecast has classes = 1."""

    def __init__(self, *, inputs: tuple[int, ...], classes: int, bias: bool):
        if len(inputs) != 1:
            raise ValueError("it takes rows of features, not rows of points")
        super().__init__(inputs[0], classes, bias=bias)
