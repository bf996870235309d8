"""Sequence to sequence with gated recurrent units (book 9.7, 10.4; Sutskever et al. 2014; Bahdanau et al. 2015).

Shapes: B batch, S source tokens, T target tokens, L layers, D hidden units, E embedding, K outputs. Inside the layers,
time is the first axis.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from d2lrun.models.attention import AdditiveAttention, inside
from d2lrun.models.inputs import Inputs, Pairs
from d2lrun.models.sequences import Reader
from d2lrun.text.vocabulary import PAD


@dataclass(frozen=True)
class Decoding:
    """The state of the decoder between two steps."""

    memory: Tensor  # [B, S, D]: the outputs of the encoder
    keys: Tensor  # [B, S, D]: as attention compares them
    mask: Tensor  # bool [B, 1, S]: source tokens that are not padding
    context: Tensor  # [B, D]: the state of the encoder's top layer after the source
    hidden: Tensor  # [L, B, D]: the states of the decoder
    weights: Tensor | None = None  # [B, S]: attention of the last step


class Encoder(nn.Module):
    """Source [B, S] -> the outputs of the top layer [B, S, D], and the state of each layer after the source [L, B, D].

    Each layer has one direction of D units, or two of D/2. Padding is not read, or if ``reads_padding`` it is read like
    other tokens, as in the book.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        hidden: int,
        *,
        layers: int,
        bidirectional: bool,
        dropout: float,
        reads_padding: bool,
    ):
        super().__init__()
        self.reads_padding, self.dropout = reads_padding, nn.Dropout(dropout)
        self.embedding = nn.Embedding(vocabulary, embedding)
        units = hidden // 2 if bidirectional else hidden
        layer = partial(nn.GRU, hidden_size=units)
        widths = [embedding] + [hidden] * (layers - 1)
        self.layers = nn.ModuleList(
            Reader(layer, width, units, layers=1, bidirectional=bidirectional, dropout=0.0) for width in widths
        )

    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        there = torch.ones_like(source, dtype=torch.bool) if self.reads_padding else source != PAD
        lengths = there.sum(dim=1)  # [B]
        x, states = self.embedding(source.T), []
        for number, layer in enumerate(self.layers):
            x = layer(self.dropout(x) if number else x, lengths)  # [S, B, D]
            states.append(cast(Reader, layer).last(x, lengths))  # [B, D]
        return x.transpose(0, 1), torch.stack(states)


class Seq2Seq(nn.Module):
    """An encoder–decoder, a ``Translator``: source [B, S] and target so far [B, T] -> logits [B, T, K].

    The decoder starts with the states of the encoder. Each step reads the embedding of a token and a context [B, D].
    ``attention`` none: the context is the encoder's last state in every step. additive: it is the mean of the
    encoder's outputs, weighted by additive attention with the decoder's top state before the step as query (book 10.4).

    ``context`` state: in decoding without attention, the context is the decoder's own top state, unlike in training.
    This is an error in the code of book 9.7 (d2l issue 2134). encoder: it is the encoder's, as in training.
    """

    def __init__(
        self,
        *,
        inputs: Inputs,
        classes: int,
        embedding: int,
        hidden: int,
        layers: int,
        bidirectional: bool,
        dropout: float,
        attention: str,
        context: str,
        padding: str,
    ):
        super().__init__()
        if not isinstance(inputs, Pairs):
            raise ValueError("it reads pairs of sequences")
        if bidirectional and hidden % 2:
            raise ValueError(f"hidden={hidden}: wanted an even number, half of it for each direction")
        if padding == "read" and inputs.steps is None:
            raise ValueError("padding=read: wanted sequences of one length, dataset.batches=fixed; or padding=skip")
        self.context = context
        self.encoder = Encoder(
            inputs.vocabulary,
            embedding,
            hidden,
            layers=layers,
            bidirectional=bidirectional,
            dropout=dropout,
            reads_padding=padding == "read",
        )
        self.attention = AdditiveAttention(hidden, hidden, hidden, dropout) if attention == "additive" else None
        self.embedding = nn.Embedding(classes, embedding)
        between = dropout if layers > 1 else 0.0  # with one layer, torch warns about dropout
        self.decoder = nn.GRU(embedding + hidden, hidden, layers, dropout=between)
        self.head = nn.Linear(hidden, classes)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        state, embedded = self.start(source), self.embedding(target.T)  # [T, B, E]
        if self.attention is None:
            contexts = state.context.expand(len(embedded), -1, -1)  # [T, B, D]
            outputs, _ = self.decoder(torch.cat((embedded, contexts), dim=2), state.hidden)  # [T, B, D]
            return self.head(outputs).transpose(0, 1)
        outputs = []
        for token in embedded:
            output, state = self.advance(token, state)
            outputs.append(output)
        return self.head(torch.stack(outputs, dim=1))

    def start(self, source: Tensor) -> Decoding:
        """Read ``source`` [B, S] and return the state before the first step."""
        memory, hidden = self.encoder(source)
        keys = memory if self.attention is None else self.attention.W_k(memory)
        return Decoding(memory, keys, inside(source), hidden[-1], hidden)

    def step(self, tokens: Tensor, state: Decoding) -> tuple[Tensor, Decoding]:
        """Return the logits [B, K] of the token after ``tokens`` [B], and the state after them."""
        if self.context == "state":
            state = replace(state, context=state.hidden[-1])
        output, state = self.advance(self.embedding(tokens), state)
        return self.head(output), state

    def advance(self, embedded: Tensor, state: Decoding) -> tuple[Tensor, Decoding]:
        """Take one step with the embedding [B, E] of a token; return the output [B, D] and the state."""
        context, weights = state.context, None
        if self.attention is not None:
            query = state.hidden[-1].unsqueeze(1)  # [B, 1, D]
            contexts, attended = self.attention.attend(query, state.keys, state.memory, state.mask)
            context, weights = contexts[:, 0], attended[:, 0]
        output, hidden = self.decoder(torch.cat((embedded, context), dim=1).unsqueeze(0), state.hidden)
        return output[0], replace(state, hidden=hidden, weights=weights)

    def select(self, state: Decoding, index: Tensor) -> Decoding:
        """Return the state of the sequences ``index`` [N]."""
        by_row: dict[str, Any] = {
            name: part if part is None else part[index] for name, part in vars(state).items() if name != "hidden"
        }
        return Decoding(hidden=state.hidden[:, index], **by_row)

    def weights(self, state: Decoding) -> Tensor | None:
        """Return how much the last step attended to each source token [B, S]; None without attention."""
        return state.weights
