"""Networks around a recurrent layer: a stream of text (book 8.5, 8.6), depth (9.3), both directions (9.4), images.

Shapes: T time steps, B batch, F features of a step, D hidden units, V vocabulary. Inside, time is the first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.models.inputs import Inputs, Sequences
from d2lrun.models.sequences import Reader, SequenceClassifier, Tagger
from d2lrun.models.spelling import embedding_of

State: TypeAlias = "Tensor | tuple[Tensor, ...]"  # [layers · directions, B, D]; two of them for an LSTM


def network(
    cell: Callable[[int, int], nn.Module],
    layer: type[nn.RNN | nn.GRU | nn.LSTM],
    *,
    inputs: Inputs,
    classes: int,
    hidden: int,
    layers: int,
    bidirectional: bool,
    dropout: float,
    impl: str,
    embedding: int | None,
    tied: bool,
) -> nn.Module:
    """Return a language model of a Stream, a SequenceClassifier or Tagger of Sequences, or a RowClassifier.

    ``impl`` selects the recurrent layer: "scratch" builds it from ``cell`` and draws all weights from N(0, 0.01²),
    as the book does; "torch" uses torch's ``layer`` and torch's initial weights. Raises ValueError if the arguments
    contradict each other.
    """
    width = hidden * (1 + bidirectional)
    check(inputs, embedding, tied, width)

    def made_of(features: int, layers: int = layers, bidirectional: bool = bidirectional) -> nn.Module:
        """Return recurrent layers for so many features of a step."""
        if impl == "scratch":
            return Stack(cell, features, hidden, layers=layers, bidirectional=bidirectional, dropout=dropout)
        between = dropout if layers > 1 else 0.0  # with one layer, torch warns about dropout
        return layer(features, hidden, layers, bidirectional=bidirectional, dropout=between)

    if isinstance(inputs, Sequences):
        vectors, features = embedding_of(inputs, embedding or hidden)
        one = partial(made_of, layers=1, bidirectional=False)
        reader = Reader(one, features, hidden, layers=layers, bidirectional=bidirectional, dropout=dropout)
        reads = Tagger if inputs.each else SequenceClassifier
        return reads(vectors, reader, linear(width, classes, impl), dropout)
    # An image has H steps, a window of a series T.
    features = prod(inputs) // inputs[-2:][0] if isinstance(inputs, tuple) else (embedding or classes)
    made, head = made_of(features), linear(width, classes, impl)
    if isinstance(inputs, tuple):
        return RowClassifier(made, head, dropout, bidirectional=bidirectional)
    read: nn.Module
    if embedding is not None:
        read = nn.Sequential(nn.Embedding(classes, embedding), nn.Dropout(dropout))
        if tied:
            read[0].weight = head.weight
    else:
        read = nn.Identity() if impl == "scratch" else OneHot(classes)
    return LanguageModel(read, made, head, dropout, bidirectional=bidirectional)


def linear(inputs: int, outputs: int, impl: str) -> nn.Linear:
    """Return the last layer; from scratch, its weights are N(0, 0.01²) and its biases 0, as in the book."""
    head = nn.Linear(inputs, outputs)
    if impl == "scratch":
        nn.init.normal_(head.weight, std=0.01)
        nn.init.zeros_(head.bias)
    return head


def check(inputs: Inputs, embedding: int | None, tied: bool, width: int) -> None:
    """Raise ValueError if an embedding, or sharing its weights with the output layer, is not possible."""
    if isinstance(inputs, tuple) and (embedding is not None or tied):
        raise ValueError("images and series have no tokens: wanted embedding=null and tied=false")
    if isinstance(inputs, Sequences) and tied:
        raise ValueError("the output is no token of the input: wanted tied=false")
    if tied and embedding != width:
        given = "none" if embedding is None else embedding
        raise ValueError(f"tied weights: wanted an embedding as wide as the output of the layer, {width}; got {given}")


class LanguageModel(nn.Module):
    """Tokens [B, T] -> logits [B, T, V] of the token after each, and the state after the last.

    The next call may continue from this state; without a state it starts with zeros. Dropout is applied after the
    embedding and after every layer, never along time (Zaremba et al. 2014).
    """

    def __init__(self, read: nn.Module, layer: nn.Module, head: nn.Linear, dropout: float, *, bidirectional: bool):
        super().__init__()
        self.bidirectional = bidirectional  # a bidirectional model sees the tokens that it predicts
        self.read, self.layer, self.dropout, self.head = read, layer, nn.Dropout(dropout), head

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        outputs, state = self.layer(self.read(tokens.T), state)  # [T, B, D]
        return self.head(self.dropout(outputs)).transpose(0, 1), state


class RowClassifier(nn.Module):
    """Images [B, C, H, W] or windows of a series [B, T] -> outputs [B, classes], from the last state.

    A time step is a row of pixels, or one value.
    """

    def __init__(self, layer: nn.Module, head: nn.Linear, dropout: float, *, bidirectional: bool):
        super().__init__()
        self.directions = 1 + bidirectional
        self.layer, self.dropout, self.head = layer, nn.Dropout(dropout), head

    def forward(self, x: Tensor) -> Tensor:
        rows = x.T.unsqueeze(2) if x.dim() == 2 else x.permute(2, 0, 1, 3).flatten(2)  # [T, B, 1] or [H, B, C·W]
        _, state = self.layer(rows)
        hidden = state[0] if isinstance(state, tuple) else state
        last = torch.cat(tuple(hidden[-self.directions :]), dim=1)  # [B, D]: each direction has read every step
        return self.head(self.dropout(last))


class OneHot(nn.Module):
    """Tokens [T, B] -> one-hot vectors [T, B, V]."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes

    def forward(self, tokens: Tensor) -> Tensor:
        zeros = torch.zeros(*tokens.shape, self.classes, device=tokens.device)
        return zeros.scatter_(-1, tokens.unsqueeze(-1), 1.0)  # without the integer tensor of F.one_hot


class Stack(nn.Module):
    """Stacked cells, each with a second cell that reads backwards if ``bidirectional``; called like torch's layers.

    Features [T, B, F], or tokens [T, B] instead of their one-hot vectors -> [T, B, D], and the last state.
    """

    def __init__(
        self,
        cell: Callable[[int, int], nn.Module],
        features: int,
        hidden: int,
        *,
        layers: int,
        bidirectional: bool,
        dropout: float,
    ):
        super().__init__()
        self.hidden, self.directions = hidden, 1 + bidirectional
        widths = [features] + [hidden * self.directions] * (layers - 1)
        self.cells = nn.ModuleList(cell(width, hidden) for width in widths for _ in range(self.directions))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        parts = self.zeros(x) if state is None else state if isinstance(state, tuple) else (state,)
        starts = list(zip(*parts, strict=True))  # of each cell: (h,) or (h, c), each [B, D]
        ends = []
        for at in range(0, len(self.cells), self.directions):
            x = self.dropout(x) if at > 0 else x
            outputs, *end = self.cells[at](x, *starts[at])  # [T, B, D]
            ends.append(end)
            if self.directions == 2:
                backwards, *end = self.cells[at + 1](x.flip(0), *starts[at + 1])
                outputs = torch.cat((outputs, backwards.flip(0)), dim=2)  # [T, B, 2·D]
                ends.append(end)
            x = outputs
        last = tuple(torch.stack(part) for part in zip(*ends, strict=True))
        return x, last if len(last) > 1 else last[0]

    def zeros(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the initial state of all cells, zeros, for a batch of the size of ``x``."""
        weight = next(self.parameters())
        zeros = weight.new_zeros(len(self.cells), x.shape[1], self.hidden)
        return (zeros,) * cast(int, self.cells[0].states)


def weight(rows: int, columns: int) -> nn.Parameter:
    """Return a weight [rows, columns] drawn from N(0, 0.01²), as in the book."""
    return nn.Parameter(torch.randn(rows, columns) * 0.01)


def bias(columns: int) -> nn.Parameter:
    """Return a bias of zeros [columns], as in the book."""
    return nn.Parameter(torch.zeros(columns))


def times(x: Tensor, matrix: Tensor) -> Tensor:
    """Return x [T, B, F] times a matrix [F, D], for all time steps; for tokens [T, B], their rows of the matrix.

    The rows equal the product with one-hot vectors, without the multiplications by zero.
    """
    return x @ matrix if x.is_floating_point() else F.embedding(x, matrix)
