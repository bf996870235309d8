"""Attention: additive (book 10.3; Bahdanau et al. 2015), scaled dot product and multi-head (10.5; Vaswani et al. 2017).

Shapes: B batch, Q queries, K keys (and values), D width. A mask is bool, [B, 1, K] or [B, Q, K], and true for each key
that a query may attend to. If it is false for all keys, all have the same weight, as in the book.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.text.vocabulary import PAD


def inside(tokens: Tensor) -> Tensor:
    """Return the mask [B, 1, K] of the tokens [B, K] that are not padding."""
    return (tokens != PAD).unsqueeze(1)


def causal(count: int, device: torch.device) -> Tensor:
    """Return the mask [1, Q, Q] with which token t attends to the tokens 1 to t."""
    return torch.ones(1, count, count, dtype=torch.bool, device=device).tril()


def weights_of(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return the attention weights [B, Q, K]: softmax of the scores over the keys of the mask, and 0 elsewhere."""
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim=-1)


class AdditiveAttention(nn.Module):
    """Scores w·tanh(W_q q + W_k k), without biases (book 10.3.3).

    Queries [B, Q, queries], keys [B, K, keys], values [B, K, V] -> the weighted values [B, Q, V], and the weights
    [B, Q, K] before dropout.
    """

    def __init__(self, queries: int, keys: int, hidden: int, dropout: float):
        super().__init__()
        self.W_q = nn.Linear(queries, hidden, bias=False)
        self.W_k = nn.Linear(keys, hidden, bias=False)
        self.w_v = nn.Linear(hidden, 1, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.attend(queries, self.W_k(keys), values, mask)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Do as ``forward``, with keys [B, K, hidden] to which W_k is already applied: a decoder does it only once."""
        features = self.W_q(queries).unsqueeze(2) + keys.unsqueeze(1)  # [B, Q, K, hidden]
        weights = weights_of(self.w_v(features.tanh()).squeeze(3), mask)  # [B, Q, K]
        return self.dropout(weights) @ values, weights


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention in ``heads`` equal parts of the width, without biases (book 10.5).

    Queries [B, Q, D], keys and values [B, K, D] -> [B, Q, D]. ``impl`` torch computes it by torch's
    scaled_dot_product_attention, scratch by matrix products. ``weights`` [B, heads, Q, K] are those of the last call;
    torch's function does not return them, so a single query, as in decoding, is always computed by products. Raises
    ValueError if ``heads`` does not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float, impl: str):
        super().__init__()
        if width % heads:
            raise ValueError(f"heads={heads}: wanted a divisor of the width {width}")
        self.heads, self.impl, self.dropout = heads, impl, nn.Dropout(dropout)
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.weights = torch.zeros(0)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = self.split(self.W_q(queries)), self.split(self.W_k(keys)), self.split(self.W_v(values))
        if mask is not None:
            mask = mask.unsqueeze(1)  # for each head
        if self.impl == "torch" and q.shape[2] > 1:
            bias = None if mask is None else q.new_zeros(mask.shape).masked_fill(~mask, torch.finfo(q.dtype).min)
            rate = self.dropout.p if self.training else 0.0
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=rate)
        else:
            weights = weights_of(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]), mask)  # [B, heads, Q, K]
            self.weights = weights.detach()
            heads = self.dropout(weights) @ v  # [B, heads, Q, D / heads]
        return self.W_o(heads.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """Split the width of x [B, N, D] into heads: [B, heads, N, D / heads]."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class PositionalEncoding(nn.Module):
    """Add sines (even columns) and cosines (odd columns) of the position to x [B, T, D], then dropout (book 10.6.3)."""

    def __init__(self, width: int, dropout: float):
        super().__init__()
        if width % 2:
            raise ValueError(f"width={width}: wanted an even number, for pairs of sine and cosine")
        self.scales: Tensor
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("scales", 10000 ** (torch.arange(0, width, 2) / width), persistent=False)  # [D / 2]

    def forward(self, x: Tensor, start: int = 0) -> Tensor:
        """``start`` is the position of the first of the T rows."""
        positions = torch.arange(start, start + x.shape[1], device=x.device)
        angles = positions.unsqueeze(1) / self.scales  # [T, D / 2]
        return self.dropout(x + torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1))
