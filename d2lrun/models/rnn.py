"""Recurrent neural networks (book 8.4–8.6; Elman 1990)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.models.recurrent import bias, network, times, weight


class RNNCell(nn.Module):
    """H_t = tanh(X_t W_xh + H_{t−1} W_hh + b_h), from scratch, over all time steps.

    Features [T, B, F] or tokens [T, B], and the state [B, D] -> outputs [T, B, D] and the last state.
    """

    states = 1

    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.W_xh = weight(features, hidden)
        self.W_hh = weight(hidden, hidden)
        self.b_h = bias(hidden)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in times(x, self.W_xh) + self.b_h:  # [B, D]; the input product of all steps is computed at once
            h = torch.tanh(x_t + h @ self.W_hh)
            outputs.append(h)
        return torch.stack(outputs), h


def build(**arguments: Any) -> nn.Module:
    """Return a recurrent network with the arguments of ``recurrent.network``."""
    return network(RNNCell, nn.RNN, **arguments)
