"""N-gram language models (book 8.3): the next token's probability from the counts of n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.counts import counted
from d2lrun.models.inputs import Inputs, Stream


@dataclass(frozen=True)
class Grams:
    """The different n-grams of one length n.

    The id of an n-gram is the rank of its first n−1 tokens among the shorter grams, times V, plus its last token.
    It stays below N·V for any n, while V^n would overflow. The rank of an n-gram is its index in ``ids``.
    """

    ids: Tensor  # int64 [G], sorted
    counts: Tensor  # float64 [G]: occurrences of each n-gram
    last: Tensor  # int64 [G]: the rank of its last n−1 tokens among the shorter grams

    def ranks(self, ids: Tensor) -> Tensor:
        """Return the ranks of n-grams; −1 if an n-gram never occurred, or if its id has the rank −1."""
        at = torch.searchsorted(self.ids, ids).clamp(max=len(self.ids) - 1)
        return torch.where(self.ids[at] == ids, at, -1)


@dataclass(frozen=True)
class Level:
    """The probabilities of one order: P(w | context) = (kept + share · P_lower(w)) / (Σ_w kept + share)."""

    kept: Tensor  # float64 [G]: the count of an n-gram after the discount
    share: Tensor  # float64 [C]: by the rank of the context, the mass for the lower order
    total: Tensor  # float64 [C]


class NGram(nn.Module):
    """A language model. Tokens [B, T] -> logits [B, T, V] of the token after each, and the state after the last.

    ``order`` is the number n of tokens in an n-gram, including the predicted one: order 1 uses no context. For a
    context that never occurred, the next lower order is used. ``smoothing``:

    laplace (book 8.3.1): each order adds ε pseudo-counts, distributed by the unigram probabilities, these by 1/V.
    witten-bell (Bell, Cleary & Witten 1990): adds as many pseudo-counts as different tokens followed the context,
    distributed by the probabilities of the next lower order.
    kneser-ney (Chen & Goodman 1998, modified): subtracts a discount from each count and gives it to the next lower
    order, which counts the different contexts of an n-gram instead of its occurrences.

    ``strength`` has one value for all orders, or one for each from the unigrams up: ε of laplace, and a factor on the
    pseudo-counts or discounts of the others. Counts are on the CPU, in double precision; ``fit`` is the training.
    """

    def __init__(self, *, classes: int, order: int, smoothing: str, strength: list[float], inputs: Inputs):
        super().__init__()
        if not isinstance(inputs, Stream):
            raise ValueError("an n-gram model counts the tokens of a stream and reads nothing else")
        if len(strength) not in (1, order):
            raise ValueError(f"strength: wanted one number or {order}, one for each order; got {len(strength)}")
        self.bidirectional = False
        self.classes, self.order, self.smoothing = classes, order, smoothing
        self.strength = strength * order if len(strength) == 1 else strength
        self.register_buffer("stream", torch.zeros(0, dtype=torch.int32))  # the counted tokens: the only saved state
        self.grams: list[Grams] = []
        self.levels: list[Level] = []

    def fit(self, tokens: Tensor) -> NGram:
        """Count a stream of tokens [N]; this replaces earlier counts."""
        if len(tokens) < self.order:
            raise ValueError(f"no gram of {self.order} in {counted(len(tokens), 'token')}")
        self.stream = tokens.to("cpu", torch.int32)
        self.grams = list(count(self.stream.long(), self.order, self.classes))
        self.levels = [self.level(n) for n in range(1, self.order + 1)]
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> None:
        """Count the saved stream."""
        self.fit(state_dict["stream"])

    @property
    def sizes(self) -> list[int]:
        """The number of different n-grams of each length."""
        return [len(grams.ids) for grams in self.grams]

    def level(self, n: int) -> Level:
        """Return the Level of order ``n``."""
        grams, strength = self.grams[n - 1], self.strength[n - 1]
        contexts = grams.ids // self.classes  # by rank
        size = 1 if n == 1 else len(self.grams[n - 2].ids)
        if self.smoothing == "kneser-ney":
            counts = grams.counts if n == self.order else self.places(n)
            taken = discounts(counts, strength)[counts.clamp(max=3).long()]
            kept, share = counts - taken, total_by(contexts, taken, size)
        elif self.smoothing == "witten-bell":
            kept, share = grams.counts, strength * total_by(contexts, torch.ones_like(grams.counts), size)
        else:
            kept, share = grams.counts, torch.full((size,), strength, dtype=torch.float64)
        return Level(kept, share, total_by(contexts, kept, size) + share)

    def places(self, n: int) -> Tensor:
        """Return, by rank, the number of different tokens before each n-gram."""
        return torch.bincount(self.grams[n].last, minlength=len(self.grams[n - 1].ids)).double()

    def contexts(self, tokens: Tensor) -> list[Tensor]:
        """For n = 0, 1, … order−1, return the rank of the n tokens before each place of streams [..., T]: [..., T+1].

        −1 if they never occurred, or if the stream has fewer tokens before the position.
        """
        *rows, length = tokens.shape
        ranks = [torch.zeros(*rows, length + 1, dtype=torch.int64)]
        none = torch.full((*rows, 1), -1)
        for grams in self.grams[:-1]:
            found = grams.ranks(ranks[-1][..., :-1] * self.classes + tokens)  # [..., T]
            ranks.append(torch.cat((none, found), dim=-1))
        return ranks

    def probabilities(self, contexts: list[Tensor], tokens: Tensor) -> Tensor:
        """Return the probabilities of ``tokens`` after contexts of each length; their shapes broadcast."""
        shape = torch.broadcast_shapes(contexts[0].shape, tokens.shape)
        orders = [torch.full(shape, 1 / self.classes, dtype=torch.float64)]
        for rank, grams, level in zip(contexts, self.grams, self.levels, strict=True):
            lower = orders[:2][-1] if self.smoothing == "laplace" else orders[-1]  # as in the book: always the unigrams
            gram = grams.ranks(rank * self.classes + tokens)
            kept = torch.where(gram < 0, 0.0, level.kept[gram])
            mixed = (kept + level.share[rank] * lower) / level.total[rank]
            orders.append(torch.where((rank < 0) | (level.total[rank] == 0), lower, mixed))
        return orders[-1]

    def log_probabilities(self, tokens: Tensor) -> Tensor:
        """Return ln P of each token of a stream [N] given all tokens before it: [N]; the loss is its negative mean."""
        tokens = tokens.to("cpu", torch.int64)
        return self.probabilities([rank[:-1] for rank in self.contexts(tokens)], tokens).log()

    def next_distribution(self, history: Tensor) -> Tensor:
        """Return the probability [V] of each token after ``history`` [T], which may be empty."""
        tail = history.to("cpu", torch.int64)[max(0, len(history) - self.order + 1) :]
        return self.probabilities([rank[-1:] for rank in self.contexts(tail)], torch.arange(self.classes))

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits and the state; the state is the last order−1 tokens."""
        before = tokens[:, :0] if state is None else state
        seen = torch.cat((before, tokens), dim=1)  # [B, n−1+T]
        contexts = [rank[:, before.shape[1] + 1 :, None] for rank in self.contexts(seen.to("cpu", torch.int64))]
        logits = self.probabilities(contexts, torch.arange(self.classes)).log().float()  # [B, T, V]
        return logits.to(tokens.device), seen[:, max(0, seen.shape[1] - self.order + 1) :]


def count(tokens: Tensor, order: int, classes: int) -> Iterator[Grams]:
    """Yield the n-grams of length 1, 2, … ``order`` in a stream [N]."""
    rank = torch.zeros(len(tokens) + 1, dtype=torch.int64)  # of the empty gram that ends before each position
    for _ in range(order):
        # rank[i] belongs to the n−1 tokens from i on, which end before tokens[i + n−1]
        ids = rank[: len(rank) - 1] * classes + tokens[len(tokens) - len(rank) + 1 :]
        different, own, counts = ids.unique(return_inverse=True, return_counts=True)
        last = torch.empty_like(different).scatter_(0, own, rank[1:])  # equal at all occurrences of the n-gram
        yield Grams(different, counts.double(), last)
        rank = own


def total_by(contexts: Tensor, values: Tensor, size: int) -> Tensor:
    """Return the sum of the values of each context, by rank."""
    return torch.zeros(size, dtype=torch.float64).index_add(0, contexts, values)


def discounts(counts: Tensor, strength: float) -> Tensor:
    """Return the discounts of the counts 0, 1, 2, and 3 or more, from the numbers of n-grams that occur 1 to 4 times.

    Source: Chen & Goodman. If the text is too small or too regular for this estimate, the discounts are 0.75.
    """
    n1, n2, n3, n4 = torch.bincount(counts.long().clamp(max=5), minlength=5)[1:5].tolist()
    taken = [0.0, 0.75, 0.75, 0.75]
    if n1 and n2 and n3:
        y = n1 / (n1 + 2 * n2)
        estimates = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        taken[1:] = [taken if 0 < taken < most else 0.75 for most, taken in enumerate(estimates, 1)]
    return torch.tensor([min(strength * discount, most) for most, discount in enumerate(taken)], dtype=torch.float64)
