"""Write target sentences with a trained encoder–decoder: greedily (book 9.7.4) or by beam search (9.8).

B sentences, S source tokens, K tokens of the target vocabulary, N prefixes of a beam.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from d2lrun.models.translator import Translator
from d2lrun.text.vocabulary import BOS, EOS, PAD

if TYPE_CHECKING:
    from collections.abc import Iterator

MORE = 10  # tokens that a target may have beyond twice the tokens of its source, without a limit of the dataset


@dataclass(frozen=True)
class Decoded:
    """A target: its tokens without <eos>, and for each token written, <eos> too, the attention [S] to the source."""

    tokens: list[int]
    weights: list[Tensor] | None = None


def limits(sources: Tensor, steps: int | None) -> Tensor:
    """Return the most tokens of each target, with <eos>, int64 [B]: ``steps``, or by the length of the source."""
    lengths = (sources != PAD).sum(dim=1)
    return 2 * lengths + MORE if steps is None else torch.full_like(lengths, steps)


@contextmanager
def deciding(model: nn.Module) -> Iterator[Translator]:
    """Yield the model in eval mode, without gradients; restore its mode at the end."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            assert isinstance(model, Translator), "a network of Pairs"
            yield model
    finally:
        model.train(training)


def greedy(model: nn.Module, sources: Tensor, steps: int | None = None) -> list[Decoded]:
    """Return the target of each of ``sources`` [B, S], with the likeliest token in each step, up to <eos>.

    A target does not depend on the other sentences of the batch.
    """
    most = limits(sources, steps)
    tokens = torch.full_like(most, BOS)
    ended = torch.zeros_like(most, dtype=torch.bool)
    written, attended = [], []
    with deciding(model) as translator:
        state = translator.start(sources)
        for count in range(1, int(most.max()) + 1):
            logits, state = translator.step(tokens, state)  # [B, K]
            tokens = logits.argmax(dim=1)
            written.append(tokens)
            attended.append(translator.weights(state))
            ended |= (tokens == EOS) | (most <= count)
            if ended.all():
                break
    columns = torch.stack(written, dim=1).tolist()  # [B, T]
    return [until_end(row, int(limit), attended, place) for place, (row, limit) in enumerate(zip(columns, most))]


def until_end(row: list[int], most: int, attended: Sequence[Tensor | None], place: int) -> Decoded:
    """Return the tokens of a row before <eos>, at most ``most``, and the attention of these steps."""
    tokens = row[:most]
    count = tokens.index(EOS) if EOS in tokens else len(tokens)
    steps = [weights[place] for weights in attended[: min(count + 1, len(tokens))] if weights is not None]
    return Decoded(tokens[:count], steps or None)


class Prefix(NamedTuple):
    """A sequence of tokens that may become a target: its summed log-probability, and the attention of each step."""

    tokens: list[int]
    score: float
    weights: list[Tensor]

    def rated(self, alpha: float) -> float:
        """Return the summed log-probability divided by L^``alpha``, with L tokens, <eos> too (book 9.8.3)."""
        return self.score / len(self.tokens) ** alpha


def beam_search(model: nn.Module, source: Tensor, beam: int, alpha: float = 0.75, steps: int | None = None) -> Decoded:
    """Return the target of ``source`` [1, S] with the highest score that beam search finds.

    In each step, the ``beam`` likeliest of all prefixes with one token more are kept. A prefix that ends in <eos>, or
    that has reached the limit of ``greedy``, is a candidate. Unlike in the book, other prefixes are none; so a beam of
    1 is greedy search.
    """
    most = int(limits(source, steps)[0])
    live, ended = [Prefix([], 0.0, [])], []
    with deciding(model) as translator:
        state = translator.start(source)
        tokens = torch.full((1,), BOS, device=source.device)
        for _ in range(most):
            logits, state = translator.step(tokens, state)  # [N, K]
            scores = logits.double().log_softmax(dim=1) + scores_of(live, logits)  # [N, K]
            best = scores.flatten().topk(min(beam, scores.numel()))
            parents, chosen = best.indices // scores.shape[1], best.indices % scores.shape[1]
            grown = extended(live, best.values, parents, chosen, translator.weights(state))
            going = [place for place, prefix in enumerate(grown) if prefix.tokens[-1] != EOS]
            ended += [prefix for prefix in grown if prefix.tokens[-1] == EOS]
            live = [grown[place] for place in going]
            if not live:
                break
            kept = torch.tensor(going, device=source.device)
            tokens, state = chosen[kept], translator.select(state, parents[kept])
    found = max([*ended, *live], key=lambda prefix: prefix.rated(alpha))
    return Decoded([token for token in found.tokens if token != EOS], found.weights or None)


def scores_of(prefixes: Sequence[Prefix], like: Tensor) -> Tensor:
    """Return the scores of the prefixes, float64 [N, 1], on the device of ``like``."""
    return torch.tensor([[prefix.score] for prefix in prefixes], dtype=torch.float64, device=like.device)


def extended(
    prefixes: Sequence[Prefix], scores: Tensor, parents: Tensor, tokens: Tensor, weights: Tensor | None
) -> list[Prefix]:
    """Return the prefixes with one token more, for each of ``tokens`` [N] after the prefix in ``parents`` [N]."""
    rows: Any = zip(scores.tolist(), parents.tolist(), tokens.tolist())
    return [
        Prefix(
            [*prefixes[parent].tokens, token],
            score,
            prefixes[parent].weights if weights is None else [*prefixes[parent].weights, weights[parent]],
        )
        for score, parent, token in rows
    ]
