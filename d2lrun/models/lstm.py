"""Long short-term memory (book 9.2; Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.models.recurrent import bias, network, times, weight


class LSTMCell(nn.Module):
    """Input, forget and output gate around a memory, from scratch, over all time steps.

        I, F, O = σ(X W_x· + H W_h· + b_·)      each with its own weights
        C̃       = tanh(X W_xc + H W_hc + b_c)
        C       = F ⊙ C + I ⊙ C̃
        H       = O ⊙ tanh(C)

    Features [T, B, F] or tokens [T, B], and the state H, C [B, D] -> outputs [T, B, D] and the last state.
    """

    states = 2

    def __init__(self, features: int, hidden: int):
        super().__init__()
        self.W_xi, self.W_hi, self.b_i = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # input gate
        self.W_xf, self.W_hf, self.b_f = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # forget gate
        self.W_xo, self.W_ho, self.b_o = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # output gate
        self.W_xc, self.W_hc, self.b_c = weight(features, hidden), weight(hidden, hidden), bias(hidden)  # candidate

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # The four matrices are concatenated: one product instead of four.
        W_x = torch.cat((self.W_xi, self.W_xf, self.W_xo, self.W_xc), dim=1)  # [F, 4·D]
        W_h = torch.cat((self.W_hi, self.W_hf, self.W_ho, self.W_hc), dim=1)  # [D, 4·D]
        b = torch.cat((self.b_i, self.b_f, self.b_o, self.b_c))
        width = len(self.b_c)
        outputs = []
        for x_t in times(x, W_x) + b:  # [B, 4·D]
            gates, candidate = (x_t + h @ W_h).split((3 * width, width), dim=1)
            i, f, o = torch.sigmoid(gates).chunk(3, dim=1)
            c = f * c + i * torch.tanh(candidate)
            h = o * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), h, c


def build(**arguments: Any) -> nn.Module:
    """Return a long short-term memory with the arguments of ``recurrent.network``."""
    return network(LSTMCell, nn.LSTM, **arguments)
