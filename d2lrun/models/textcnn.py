"""Convolutions over the tokens of a text, at several widths (book 15.3; Kim 2014). Padding changes no output.

B batch, T tokens of the longest text, E embedding, C channels of a kernel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.models.inputs import Inputs, Sequences
from d2lrun.text.vocabulary import PAD

EMBEDDED = 0.1  # standard deviation of the first embeddings; from torch's 1 it learns much more slowly


class TextCNN(nn.Module):
    """Tokens int64 [B, T], with PAD after each text -> logits [B, classes].

    Each of ``kernels`` is a convolution that reads so many tokens at a time and has ``channels`` outputs. ``pool``
    takes their maximum over the text, or their average, and then a ReLU. The book's text describes the maximum, its
    code takes the average, in which padding counts; here it does not. The book has two embeddings of GloVe vectors,
    one of them frozen; here is one embedding, which is trained.
    """

    def __init__(
        self,
        *,
        inputs: Inputs,
        classes: int,
        embedding: int,
        kernels: list[int],
        channels: int,
        pool: str,
        dropout: float,
    ):
        super().__init__()
        if not isinstance(inputs, Sequences) or inputs.each:
            raise ValueError("a text CNN reads whole texts and gives one output for each")
        self.embedding = nn.Embedding(inputs.vocabulary, embedding)
        nn.init.normal_(self.embedding.weight, std=EMBEDDED)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, channels, kernel) for kernel in kernels)
        self.kernels, self.pool = kernels, pool
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels * len(kernels), classes)

    def forward(self, tokens: Tensor) -> Tensor:
        there = tokens != PAD  # [B, T]
        lengths = there.sum(dim=1, keepdim=True)  # [B, 1]
        embedded = self.embedding(tokens) * there.unsqueeze(2)  # [B, T, E]
        missing = max(0, max(self.kernels) - tokens.shape[1])
        signal = F.pad(embedded.transpose(1, 2), (0, missing))  # [B, E, T]: zeros if a text is shorter than a kernel
        parts = [
            self.pooled(convolution(signal), (lengths - kernel + 1).clamp(min=1))
            for kernel, convolution in zip(self.kernels, self.convolutions, strict=True)
        ]
        return self.head(self.dropout(F.relu(torch.cat(parts, dim=1))))

    def pooled(self, features: Tensor, count: Tensor) -> Tensor:
        """Pool features [B, C, places] over the first ``count`` [B, 1] places of each text -> [B, C]."""
        inside = (torch.arange(features.shape[2], device=features.device) < count).unsqueeze(1)  # [B, 1, places]
        if self.pool == "max":
            return features.masked_fill(~inside, -torch.inf).amax(dim=2)
        return (features * inside).sum(dim=2) / count
