"""Gated recurrent units (book 9.1; Cho et al. 2014)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.models.recurrent import bias, network, times, weight


class GRUCell(nn.Module):
    """Update and reset gate around a state, from scratch, over all time steps.

        Z, R = σ(X W_x· + H W_h· + b_·)               each with its own weights
        H̃    = tanh(X W_xh + (R ⊙ H) W_hh + b_h)      in the book
        H̃    = tanh(X W_xh + R ⊙ (H W_hh) + b_h)      with ``reset_after``, as in torch's layer
        H    = Z ⊙ H + (1 − Z) ⊙ H̃

    Features [T, B, F] or tokens [T, B], and the state [B, D] -> outputs [T, B, D] and the last state.
    """

    states = 1

    def __init__(self, features: int, hidden: int, *, reset_after: bool):
        super().__init__()
        self.reset_after = reset_after
        self.W_xz, self.W_hz, self.b_z = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # update gate
        self.W_xr, self.W_hr, self.b_r = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # reset gate
        self.W_xh, self.W_hh, self.b_h = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # candidate

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        # The two gates are concatenated: one product instead of two.
        for_gates = times(x, torch.cat((self.W_xz, self.W_xr), dim=1)) + torch.cat((self.b_z, self.b_r))  # [T, B, 2·D]
        for_candidate = times(x, self.W_xh) + self.b_h  # [T, B, D]
        W_h = torch.cat((self.W_hz, self.W_hr), dim=1)  # [D, 2·D]
        outputs = []
        for x_gates, x_candidate in zip(for_gates, for_candidate, strict=True):
            z, r = torch.sigmoid(x_gates + h @ W_h).chunk(2, dim=1)
            past = r * (h @ self.W_hh) if self.reset_after else (r * h) @ self.W_hh
            h = z * h + (1 - z) * torch.tanh(x_candidate + past)
            outputs.append(h)
        return torch.stack(outputs), h


def build(*, reset_after: bool, **arguments: Any) -> nn.Module:
    """Return a network of gated recurrent units with the arguments of ``recurrent.network``.

    ``reset_after`` is for impl="scratch": torch's layer always applies the reset gate after the product.
    """
    return network(partial(GRUCell, reset_after=reset_after), nn.GRU, **arguments)
