"""Transformers (book 10.7; Vaswani et al. 2017): an encoder–decoder for pairs, a masked one for a stream of text.

Shapes: B batch, S source tokens, T target tokens or tokens of a window, D width, K outputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.models.attention import MultiHeadAttention, PositionalEncoding, causal, inside
from d2lrun.models.inputs import Inputs, Pairs, Stream


class Sublayer(nn.Module):
    """Add the output of a layer to its input, x [B, T, D], with layer normalisation.

    post, as in the book: LN(x + dropout(layer(x))). pre (Xiong et al. 2020): x + dropout(layer(LN(x))).
    """

    def __init__(self, layer: nn.Module, width: int, dropout: float, norm: str):
        super().__init__()
        self.layer, self.norm, self.dropout, self.pre = layer, nn.LayerNorm(width), nn.Dropout(dropout), norm == "pre"

    def forward(self, x: Tensor, *others: Tensor | None) -> Tensor:
        added = x + self.dropout(self.layer(self.prepared(x), *others))
        return added if self.pre else self.norm(added)

    def prepared(self, x: Tensor) -> Tensor:
        """Return the input of the layer: x, normalised if pre."""
        return self.norm(x) if self.pre else x


class Attention(MultiHeadAttention):
    """Multi-head attention of x [B, T, D] to ``seen`` [B, P, D], or to itself if that is None, with a mask."""

    def forward(self, x: Tensor, seen: Tensor | None, mask: Tensor | None) -> Tensor:  # type: ignore[override]
        seen = x if seen is None else seen
        return super().forward(x, seen, seen, mask)


class Block(nn.Module):
    """Self-attention, attention to a source if ``crosses``, and a positionwise feed-forward network.

    x [B, T, D] -> [B, T, D].
    """

    def __init__(
        self, width: int, heads: int, feedforward: int, dropout: float, *, norm: str, impl: str, crosses: bool
    ):
        super().__init__()
        self.attention = Sublayer(Attention(width, heads, dropout, impl), width, dropout, norm)
        self.crosses = crosses
        if crosses:
            self.cross = Sublayer(Attention(width, heads, dropout, impl), width, dropout, norm)
        dense = nn.Sequential(nn.Linear(width, feedforward), nn.ReLU(), nn.Linear(feedforward, width))
        self.feedforward = Sublayer(dense, width, dropout, norm)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        source: Tensor | None = None,
        source_mask: Tensor | None = None,
        past: Tensor | None = None,
    ) -> Tensor:
        """``past`` [B, P, D] are the inputs of this block that x attends to, x among them; None: x only."""
        x = self.attention(x, None if past is None else self.attention.prepared(past), mask)
        if self.crosses:
            x = self.cross(x, source, source_mask)
        return self.feedforward(x)


class Embedding(nn.Module):
    """Tokens [B, T] -> [B, T, D]: the embedding times √D, plus the positions."""

    def __init__(self, vocabulary: int, width: int, dropout: float):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), PositionalEncoding(width, dropout)
        self.scale = math.sqrt(width)

    def forward(self, tokens: Tensor, start: int = 0) -> Tensor:
        return self.positions(self.tokens(tokens) * self.scale, start)


@dataclass(frozen=True)
class Decoding:
    """The state of a Transformer between two decoded tokens."""

    source: Tensor  # [B, S, D]: the output of the encoder
    mask: Tensor  # bool [B, 1, S]: source tokens that are not padding
    past: tuple[Tensor, ...]  # of each block, its inputs so far [B, P, D]
    weights: Tensor | None = None  # [B, S]: attention of the last step, the mean over layers and heads


class Transformer(nn.Module):
    """An encoder–decoder, a ``Translator``: source [B, S] and target so far [B, T] -> logits [B, T, K].

    In training a target token attends to the tokens up to itself, by a mask; in decoding, to the tokens so far. If
    ``position`` is first, each decoded token gets position 0, as in the book's code.
    """

    def __init__(
        self,
        vocabulary: int,
        classes: int,
        *,
        width: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
        norm: str,
        impl: str,
        position: str,
    ):
        super().__init__()

        def blocks(crosses: bool) -> nn.ModuleList:
            """Return the blocks of the encoder, or of the decoder."""
            return nn.ModuleList(
                Block(width, heads, feedforward, dropout, norm=norm, impl=impl, crosses=crosses) for _ in range(layers)
            )

        self.position = position
        self.source, self.encoder = Embedding(vocabulary, width, dropout), blocks(crosses=False)
        self.target, self.decoder = Embedding(classes, width, dropout), blocks(crosses=True)
        self.encoded, self.decoded = (nn.LayerNorm(width) if norm == "pre" else nn.Identity() for _ in range(2))
        self.head = nn.Linear(width, classes)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        state = self.start(source)
        x, mask = self.target(target), causal(target.shape[1], target.device)
        for block in self.decoder:
            x = block(x, mask, state.source, state.mask)
        return self.head(self.decoded(x))

    def start(self, source: Tensor) -> Decoding:
        """Read ``source`` [B, S] and return the state before the first token."""
        mask, x = inside(source), self.source(source)
        for block in self.encoder:
            x = block(x, mask)
        return Decoding(self.encoded(x), mask, tuple(x[:, :0] for _ in self.decoder))

    def step(self, tokens: Tensor, state: Decoding) -> tuple[Tensor, Decoding]:
        """Return the logits [B, K] of the token after ``tokens`` [B], and the state after them."""
        place = state.past[0].shape[1] if self.position == "own" else 0
        x, pasts = self.target(tokens.unsqueeze(1), place), []  # [B, 1, D]
        for block, past in zip(self.decoder, state.past, strict=True):
            pasts.append(torch.cat((past, x), dim=1))
            x = block(x, None, state.source, state.mask, pasts[-1])
        logits = self.head(self.decoded(x))[:, 0]
        kept = [weights for name, weights in self.named_weights() if name.endswith("cross.layer")]
        return logits, replace(state, past=tuple(pasts), weights=torch.stack(kept).mean(dim=(0, 2))[:, 0])

    def select(self, state: Decoding, index: Tensor) -> Decoding:
        """Return the state of the sequences ``index`` [N]."""
        weights = None if state.weights is None else state.weights[index]
        return Decoding(state.source[index], state.mask[index], tuple(past[index] for past in state.past), weights)

    def weights(self, state: Decoding) -> Tensor | None:
        """Return how much the last step attended to each source token [B, S]: the mean over layers and heads."""
        return state.weights

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the name of each attention layer, and its weights [B, heads, T, K] in the last call."""
        for name, layer in self.named_modules():
            if isinstance(layer, Attention):
                yield name, layer.weights


class MaskedTransformer(nn.Module):
    """A language model: tokens [B, T] -> logits [B, T, K] of the token after each, and the tokens to remember.

    A token attends to the tokens up to itself: those of the window, and of the windows before it as many as fit into
    ``context`` tokens together. The state is these earlier tokens, int64 [B, M]: they are read again, so that a token
    has the same position whether it trains or is remembered.
    """

    bidirectional = False

    def __init__(
        self,
        classes: int,
        *,
        context: int,
        width: int,
        layers: int,
        heads: int,
        feedforward: int,
        dropout: float,
        norm: str,
        impl: str,
    ):
        super().__init__()
        self.context, self.embedding = context, Embedding(classes, width, dropout)
        # N(0, 1) after the scaling: a larger embedding hides the positions, and the network learns only pairs of tokens
        nn.init.normal_(self.embedding.tokens.weight, std=width**-0.5)
        self.blocks = nn.ModuleList(
            Block(width, heads, feedforward, dropout, norm=norm, impl=impl, crosses=False) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        self.head = nn.Linear(width, classes)

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        count = tokens.shape[1]
        earlier = tokens[:, :0] if state is None else state
        room = max(self.context - count, 0)
        seen = torch.cat((earlier[:, max(earlier.shape[1] - room, 0) :], tokens), dim=1)  # [B, M + T]
        x, mask = self.embedding(seen), causal(seen.shape[1], seen.device)
        for block in self.blocks:
            x = block(x, mask)
        logits = self.head(self.norm(x[:, seen.shape[1] - count :]))
        return logits, seen[:, max(seen.shape[1] - self.context, 0) :]


def build(
    *,
    inputs: Inputs,
    classes: int,
    context: int,
    position: str,
    **arguments: Any,
) -> Transformer | MaskedTransformer:
    """Return an encoder–decoder of Pairs, or a language model of a Stream; raises ValueError.

    ``arguments`` are those of both: width, layers, heads, feedforward, dropout, norm and impl.
    """
    if isinstance(inputs, Pairs):
        return Transformer(inputs.vocabulary, classes, position=position, **arguments)
    if not isinstance(inputs, Stream):
        raise ValueError("a Transformer reads pairs of sequences, or a stream of text")
    if inputs.steps > context:
        raise ValueError(f"context={context}: wanted at least dataset.steps={inputs.steps}, the tokens of a window")
    return MaskedTransformer(classes, context=context, **arguments)
