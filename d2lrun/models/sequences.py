"""Recurrent networks over separate sequences: many to one, and aligned many to many. Padding changes no output.

Shapes: B batch, T tokens of the longest sequence, F features of a token, D hidden units, K outputs. Inside, time is
the first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from d2lrun.text.vocabulary import PAD


class Reader(nn.Module):
    """Recurrent layers over padded sequences: features [T, B, F] and lengths [B] -> outputs [T, B, D · directions].

    The backward direction reads each sequence from its own last token, so padding comes after the sequence in both
    directions and is not read before any token. Outputs at padding have no meaning.
    """

    def __init__(
        self,
        layer: Callable[[int], nn.Module],
        features: int,
        hidden: int,
        *,
        layers: int,
        bidirectional: bool,
        dropout: float,
    ):
        super().__init__()
        directions = 1 + bidirectional
        widths = [features] + [hidden * directions] * (layers - 1)
        self.layers = nn.ModuleList(nn.ModuleList(layer(width) for _ in range(directions)) for width in widths)
        self.hidden, self.dropout = hidden, nn.Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        for number, directions in enumerate(self.layers):
            ahead, *back = cast("nn.ModuleList", directions)
            x = self.dropout(x) if number else x
            outputs = [ahead(x)[0]]  # [T, B, D]
            outputs += [reversed_in_time(layer(reversed_in_time(x, lengths))[0], lengths) for layer in back]
            x = torch.cat(outputs, dim=2)  # [T, B, D · directions]
        return x

    def last(self, outputs: Tensor, lengths: Tensor) -> Tensor:
        """Return the state of each direction after the whole sequence, [B, D · directions]."""
        ends = (lengths - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, self.hidden)
        forward = outputs[:, :, : self.hidden].gather(0, ends)[0]  # [B, D]
        return torch.cat((forward, outputs[0, :, self.hidden :]), dim=1)


def reversed_in_time(x: Tensor, lengths: Tensor) -> Tensor:
    """Return x [T, B, F] with the first ``lengths`` [B] steps of each sequence in reverse order."""
    steps = torch.arange(len(x), device=x.device).unsqueeze(1)  # [T, 1]
    places = torch.where(steps < lengths, lengths - 1 - steps, steps)  # [T, B]
    return x.gather(0, places.unsqueeze(2).expand_as(x))


class Tagger(nn.Module):
    """Tokens int64 [B, T], or words with their characters [B, T, 1 + C] -> logits of each token [B, T, K].

    PAD stands after each sequence.
    """

    def __init__(self, embedding: nn.Module, reader: Reader, head: nn.Linear, dropout: float):
        super().__init__()
        self.embedding, self.reader, self.dropout, self.head = embedding, reader, nn.Dropout(dropout), head

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, _ = self.read(tokens)
        return self.head(self.dropout(outputs)).transpose(0, 1)

    def read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the reader [T, B, D · directions], and the lengths of the sequences [B]."""
        words = tokens if tokens.dim() == 2 else tokens[:, :, 0]
        lengths = (words != PAD).sum(dim=1)
        return self.reader(self.dropout(self.embedding(tokens.transpose(0, 1))), lengths), lengths


class SequenceClassifier(Tagger):
    """The same -> logits of each sequence [B, K], from the last state of each direction."""

    def forward(self, tokens: Tensor) -> Tensor:
        outputs, lengths = self.read(tokens)
        return self.head(self.dropout(self.reader.last(outputs, lengths)))
