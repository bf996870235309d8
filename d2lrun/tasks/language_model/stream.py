"""A text as a stream of tokens in memory: cut into what trains and what validates, and those into batches.

N tokens of a stream, B rows of a batch, T time steps of a row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from d2lrun.counts import counted
from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.corpus import Vocabulary, prefix_tokens
from d2lrun.tasks.language_model.split_check import check_text
from d2lrun.training import splits
from d2lrun.training.task import Split

if TYPE_CHECKING:
    from d2lrun.config.keys import Config

SAMPLINGS = ("random", "sequential")
ROWS = 64  # of an evaluation, at most: side by side they are read faster
LONG = 1024  # tokens of such a row, at least
HISTORY = 128  # tokens that are read before the first prediction of such a row
FIRST = 14  # tokens that a sample continues


def unreadable() -> str:
    """Raise Refused: the text of a dataset was given as such, and is in no file."""
    raise Refused("the text of the dataset cannot be read again", "give it as a file")


Spans: TypeAlias = "Sequence[tuple[int, int]]"  # of characters: from one, up to another


class Rows(NamedTuple):
    """A batch of an evaluation: ``steps`` predictions from each of ``starts`` [B] on, after ``history`` tokens."""

    starts: Tensor
    steps: int
    history: int


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
    begins: np.ndarray | None = None  # int32 [N + 1]: the character at which each token begins, and the end; None: N
    cut_fingerprint: str = ""  # of the cleaned text, where it is cut into tokens, and the vocabulary
    text_fingerprint: str = ""  # of the cleaned text, whatever tokens are made of it
    contents: tuple[Content, ...] = ()  # what was read
    read: Callable[[], str] = unreadable  # reads the text again, all of it

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

    @property
    def inputs(self) -> None:
        """A network is given tokens, one at a time."""
        return None

    @property
    def outputs(self) -> int:
        """One logit for each token of the vocabulary."""
        return len(self.vocabulary)

    @property
    def characters(self) -> int:
        """How many characters of the cleaned text the stream stands for."""
        return len(self.tokens) if self.begins is None else int(self.begins[-1])

    def at(self, character: int) -> int:
        """The first token that begins at ``character`` of the cleaned text or after it."""
        return character if self.begins is None else int(np.searchsorted(self.begins[:-1], character))

    def check_split(self, config: Config) -> None:
        """Raise Refused, with a hint that works, if a subset is too short for a window or a batch, in all folds."""
        check_text(config, self)

    def split(self, validation: Any, seed: int = 0) -> Split[TextSubset]:
        """The end of the stream validates, or one of K pieces of it, whatever the seed; there is no test set.

        The stream is cut before windows are made of it. Raises Refused.
        """
        count = self.characters
        if validation.name == "holdout":
            return Split(*self.parts(*cut(count, validation.fraction)))
        if validation.name == "kfold":
            start, end = splits.block(count, validation)
            return Split(*self.parts([(0, start), (end, count)], [(start, end)]))
        return Split(self.part((0, count)))

    def part(self, *spans: tuple[int, int]) -> TextSubset:
        """The tokens that begin in one of ``spans``, each from a character of the cleaned text up to another."""
        places = [slice(self.at(start), self.at(end)) for start, end in spans]
        tokens = torch.cat([self.tokens[place] for place in places])
        widths = None if self.begins is None else np.concatenate([np.diff(self.begins)[place] for place in places])
        return TextSubset(
            tokens,
            self.steps,
            self.sampling,
            widths,
            fingerprint=fingerprint(self.cut_fingerprint, str(spans)),
            text_fingerprint=fingerprint(self.text_fingerprint, str(spans)),
        )

    def parts(self, train: Spans, val: Spans) -> tuple[TextSubset, TextSubset]:
        """What trains and what validates; raises Refused if too little validates."""
        found = self.part(*val)
        if len(found.tokens) <= self.steps:
            raise Refused(
                f"{counted(len(found.tokens), 'token')} held out, too few for a window of {self.steps}: "
                f"wanted {self.steps + 1:,}",
                "give a longer text, hold more of it out (validation), or choose a smaller dataset.steps",
            )
        return self.part(*train), found


@dataclass(frozen=True, eq=False)
class TextSubset:
    """A stream of tokens that trains or validates. A batch is named by the places [B] where its rows begin."""

    tokens: Tensor  # int32 [N]
    steps: int  # T
    sampling: str
    widths: np.ndarray | None = None  # int32 [N]: characters up to the next token; None: each token is one
    fingerprint: str = ""  # equal for the same tokens of the same vocabulary
    text_fingerprint: str = ""  # equal for the same characters, whatever tokens they are cut into
    of: int | None = None  # tokens of the whole part, if this is only its beginning

    @property
    def size(self) -> int:
        """How many tokens it has."""
        return len(self.tokens)

    @property
    def characters(self) -> int:
        """Of the tokens that are predicted: all but the first."""
        return len(self.tokens) - 1 if self.widths is None else int(self.widths[1:].sum())

    def refuse_if_short(self, size: int) -> None:
        """Raise Refused unless every epoch, whatever its offset, has a batch of ``size`` rows."""
        count, wanted = len(self.tokens), needed(size, self.steps, self.sampling)
        if count < wanted:
            raise Refused(
                f"{counted(count, 'token')}, too few for a batch "
                f"of {counted(size, 'row')} of {self.steps}: wanted {wanted:,}",
                smaller(count, self.steps, self.sampling),
            )

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """The batches of an epoch: at least one if ``refuse_if_short`` does not refuse the stream."""
        return starts(len(self.tokens), size, self.steps, self.sampling, seed, epoch)

    def ordered(self, size: int) -> list[list[Rows]]:
        """The whole stream, every token but the first predicted once, in chains of at most ``size`` rows.

        The stream is read as several rows side by side. Each row but the first begins with tokens that are read
        and not measured, so that no prediction lacks its history. The rows depend on the stream alone: a larger
        batch reads more of them at a time and measures the same. Raises Refused if there is nothing to predict.
        """
        predicted = len(self.tokens) - 1
        if predicted < 1:
            raise Refused(
                f"{counted(len(self.tokens), 'token')}, too few to measure: wanted 2",
                "give a longer text, or hold more of it out (validation)",
            )
        count = min(ROWS, predicted // LONG)  # rows that begin with a history
        first = predicted if count == 0 else HISTORY + (predicted - HISTORY) % count  # the rest divides evenly
        each = (predicted - first) // count if count else 0
        later = first + each * torch.arange(count)  # [R]
        return [
            self.chain(torch.zeros(1, dtype=torch.int64), first, history=0),
            *(self.chain(rows, each, HISTORY) for rows in later.split(size) if count),
        ]

    def limited(self, batches: int, size: int) -> TextSubset:
        """As many predictions as ``batches`` of ``size`` rows hold, from the beginning of the stream on."""
        count = batches * size * self.steps + 1
        if count >= len(self.tokens):
            return self
        widths = None if self.widths is None else self.widths[:count]
        return replace(
            self,
            tokens=self.tokens[:count],
            widths=widths,
            fingerprint=fingerprint(self.fingerprint, str(count)),
            text_fingerprint=fingerprint(self.text_fingerprint, str(count if widths is None else widths.sum())),
            of=self.size,
        )

    def joined(self, least: int) -> TextSubset:
        """Itself: all training batches have the same number of rows."""
        return self

    def chain(self, starts: Tensor, length: int, history: int) -> list[Rows]:
        """``length`` predictions from each of ``starts`` [B] on, window after window."""
        return [
            Rows(starts + at, min(self.steps, length - at), 0 if at else history) for at in range(0, length, self.steps)
        ]

    def load(self, batch: Tensor | Rows) -> tuple[Tensor, Tensor]:
        """Inputs int64 [B, H + T] and targets int64 [B, T]; in training H = 0."""
        starts, steps, history = self.rows(batch)
        inputs, targets = at(self.tokens, starts.to(self.tokens.device) - history, history + steps)
        return inputs, targets[:, history:]

    def count(self, batches: list[Tensor] | list[Rows]) -> int:
        return sum(len(rows.starts) * rows.steps for rows in map(self.rows, batches))

    def rows(self, batch: Tensor | Rows) -> Rows:
        """A batch of an evaluation as it is; one of training, named by its starts, as whole windows."""
        return batch if isinstance(batch, Rows) else Rows(batch, self.steps, 0)


def cut(count: int, fraction: float) -> tuple[Spans, Spans]:
    """``count`` characters in two before any window is made: the first part trains, the last ``fraction`` is measured.

    No window spans both, so no token of the one is seen in the other, not even as a label.
    """
    kept = count - round(count * fraction)
    return [(0, kept)], [(kept, count)]


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
