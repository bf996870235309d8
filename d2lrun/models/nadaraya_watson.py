"""Nadaraya–Watson kernel regression: attention pooling with one parameter (book 10.2; Nadaraya 1964; Watson 1964)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from d2lrun.models.attention import weights_of
from d2lrun.models.inputs import Inputs


class NadarayaWatson(nn.Module):
    """y(x) = Σ softmax(−((x − xᵢ)·w)² / 2) yᵢ over N points, which are part of the input.

    Rows [B, N, 3] of x, xᵢ, yᵢ for each point -> [B, 1]. A point with xᵢ = x is the row itself and is left out. Raises
    ValueError for other rows.
    """

    def __init__(self, *, inputs: Inputs, classes: int):
        super().__init__()
        if not isinstance(inputs, tuple) or len(inputs) != 2 or inputs[1] != 3:
            raise ValueError("it takes rows that hold the points to weigh: wanted dataset=kernel")
        self.w = nn.Parameter(torch.rand(1))  # the inverse width of the kernel

    def forward(self, rows: Tensor) -> Tensor:
        x, keys, values = rows.unbind(dim=2)  # each [B, N]
        scores = -(((x - keys) * self.w) ** 2) / 2
        return (weights_of(scores, x != keys) * values).sum(dim=1, keepdim=True)
