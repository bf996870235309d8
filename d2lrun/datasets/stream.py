"""A text as a stream of tokens in memory: cut into what trains and what validates, and those into batches.

N tokens of a stream, B rows of a batch, T time steps of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from d2lrun.datasets.corpus import Vocabulary, clean, number, prefix_tokens
from d2lrun.errors import Refused

SAMPLINGS = ("random", "sequential")
LONG = 64  # windows of a row, at least, in an evaluation: only its first has no history
FIRST = 14  # tokens that a sample continues


@dataclass(frozen=True, eq=False)
class TextDataset:
    """A stream of tokens in memory, as int32, and what is needed to make others like it."""

    name: str
    vocabulary: Vocabulary
    tokens: Tensor  # int32 [N]
    source: str  # where it was found, for people
    kind: str  # of tokens: one of KINDS
    rule: str  # of cleaning: one of RULES
    steps: int = 35  # T, of a window
    sampling: str = "sequential"  # one of SAMPLINGS
    prefix: str | None = None  # what samples continue; None: the beginning of the stream

    def to(self, device: torch.device | str) -> TextDataset:
        """The same dataset with its tokens on ``device``."""
        return replace(self, tokens=self.tokens.to(device))

    def sha256(self) -> str:
        """Of the tokens, four bytes each, the lowest first: another text gives another one."""
        return hashlib.sha256(self.tokens.cpu().numpy().astype("<i4").tobytes()).hexdigest()

    def beginning(self) -> list[str]:
        """The tokens that samples continue: those of ``prefix`` that are known, else the first of the stream."""
        known = [] if self.prefix is None else prefix_tokens(self.prefix, self.kind, self.rule)
        return known or self.vocabulary.decode(self.tokens[:FIRST].tolist())

    def cut(self, fraction: float | None) -> tuple[TextPart, TextPart | None]:
        """What trains and, where a fraction is given, the end of the stream that validates; raises Refused."""
        if fraction is None:
            return TextPart(self.tokens, self.steps, self.sampling), None
        return self.parts(*cut(self.tokens, fraction))

    def parts(self, train: Tensor, val: Tensor) -> tuple[TextPart, TextPart]:
        """What trains and what validates of two streams of tokens; raises Refused where too little validates."""
        if len(val) <= self.steps:
            raise Refused(
                f"{len(val):,} tokens held out are too few for a window of {self.steps}: wanted {self.steps + 1:,}",
                "give a longer text, hold more of it out (validation), or choose a smaller dataset.steps",
            )
        return TextPart(train, self.steps, self.sampling), TextPart(val, self.steps, self.sampling)


@dataclass(frozen=True, eq=False)
class TextPart:
    """A stream of tokens that trains or validates. A batch is named by the places [B] where its rows begin."""

    tokens: Tensor  # int32 [N]
    steps: int  # T
    sampling: str

    def refuse_if_short(self, size: int) -> None:
        """Raise Refused unless every epoch, whatever its offset, has a batch of ``size`` rows."""
        count, wanted = len(self.tokens), needed(size, self.steps, self.sampling)
        if count < wanted:
            raise Refused(
                f"{count:,} tokens are too few for a batch of {size} rows of {self.steps}: wanted {wanted:,}",
                smaller(count, self.steps, self.sampling),
            )

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """The batches of an epoch: at least one if ``refuse_if_short`` does not refuse the stream."""
        return starts(len(self.tokens), size, self.steps, self.sampling, seed, epoch)

    def ordered(self, size: int) -> list[Tensor]:
        """The stream from its beginning to its end, in few long rows, each with the state carried on.

        Raises Refused where it is shorter than a window.
        """
        if len(self.tokens) <= self.steps:
            raise Refused(
                f"{len(self.tokens):,} tokens are too few for a window of {self.steps}: wanted {self.steps + 1:,}",
                "give a longer text or a smaller dataset.steps",
            )
        rows = max(1, min(size, len(self.tokens) // (LONG * self.steps)))
        return sequential_starts(len(self.tokens), rows, self.steps, offset=0)

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs and targets, int64 [B, T]."""
        return at(self.tokens, batch.to(self.tokens.device), self.steps)

    def count(self, batches: list[Tensor]) -> int:
        return self.steps * sum(map(len, batches))


def build(
    name: str,
    text: str,
    source: str,
    *,
    kind: str,
    rule: str,
    min_freq: int,
    reserved: Sequence[str],
    max_tokens: int | None,
) -> TextDataset:
    """The dataset that a text makes: its vocabulary is that of all of it, its tokens are the first ``max_tokens``.

    Raises Refused where cleaning leaves nothing.
    """
    counts, stream = number(clean(text, rule), kind)
    if not counts:
        other = "dataset.rule=none keeps every letter of every language" if rule == "letters" else "give another text"
        raise Refused(f"{source}: no token is left of it (kind {kind}, rule {rule}), wanted one at least", other)
    vocabulary = Vocabulary.of(counts, min_freq, reserved)
    tokens = np.array(vocabulary.encode(counts), np.int32)[stream[:max_tokens]]  # [N]
    return TextDataset(name, vocabulary, torch.from_numpy(tokens), source, kind, rule)


# --- batches -------------------------------------------------------------------------------------------------


def cut(tokens: Tensor, fraction: float) -> tuple[Tensor, Tensor]:
    """The stream [N] in two before any window is made: the first part trains, the last ``fraction`` is measured.

    No window spans both, so no token of the one is seen in the other, not even as a label.
    """
    kept = len(tokens) - round(len(tokens) * fraction)
    return tokens[:kept], tokens[kept:]


def starts(count: int, batch_size: int, steps: int, sampling: str, seed: int, epoch: int) -> list[Tensor]:
    """Where the rows of each batch begin, int64 [B], in a stream of ``count``: a pure function of (seed, epoch).

    random: windows side by side from a random offset, in random order, each with a fresh state.
    sequential: row i goes on, batch after batch, where it stopped: the state is carried on.
    What does not fill a batch is left out, as in the book.
    """
    generator = np.random.default_rng([seed, epoch])
    if sampling == "random":
        return random_starts(count, batch_size, steps, int(generator.integers(steps)), generator)
    return sequential_starts(count, batch_size, steps, int(generator.integers(steps + 1)))  # the book's end, inclusive


def random_starts(count: int, batch_size: int, steps: int, offset: int, generator: np.random.Generator) -> list[Tensor]:
    windows = max(count - offset - 1, 0) // steps  # - 1: the last label
    batches = windows // batch_size
    order = generator.permutation(windows)[: batches * batch_size]
    return list(torch.from_numpy(offset + steps * order).view(batches, batch_size))


def sequential_starts(count: int, batch_size: int, steps: int, offset: int) -> list[Tensor]:
    length = max(count - offset - 1, 0) // batch_size  # of a row, all batches together; - 1: the last label
    rows = offset + length * torch.arange(batch_size)  # [B]
    return [rows + steps * batch for batch in range(length // steps)]


def needed(batch_size: int, steps: int, sampling: str) -> int:
    """The shortest stream that makes a batch from every offset."""
    return (batch_size + 1) * steps if sampling == "random" else (batch_size + 1) * steps + 1


def smaller(count: int, steps: int, sampling: str) -> str:
    """The largest batch, or else the longest window, that a stream of ``count`` suffices for, as a hint."""
    fixed = needed(0, 0, sampling)
    if (rows := (count - fixed) // steps - 1) >= 1:
        return f"train.batch_size={rows}, or a longer text"
    if (longest := (count - fixed) // 2) >= 1:
        return f"train.batch_size=1 dataset.steps={longest}, or a longer text"
    return "give a longer text"


def at(tokens: Tensor, starts: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels, int64 [B, T]: the tokens from ``starts`` [B] on, and the one that follows each."""
    rows = tokens.unfold(0, steps + 1, 1).index_select(0, starts)  # [B, T + 1]
    return rows[:, :-1].long(), rows[:, 1:].long()
