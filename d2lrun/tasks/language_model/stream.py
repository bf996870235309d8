"""A text as a stream of tokens in memory: split into training and validation, and cut into batches.

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
from d2lrun.models.inputs import Stream
from d2lrun.tasks.language_model.split_check import check_text
from d2lrun.text.corpus import prefix_tokens
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training import splits
from d2lrun.training.task import Split

if TYPE_CHECKING:
    from d2lrun.config.keys import Config

SAMPLINGS = ("random", "sequential")
ROWS = 64  # most rows of an evaluation batch: rows in parallel are faster
LONG = 1024  # least tokens of an evaluation row
HISTORY = 128  # tokens that are read before the first prediction of an evaluation row
FIRST = 14  # tokens at the beginning of a sample


def unreadable() -> str:
    """Raise Refused: the text of a dataset was given as such, and is in no file."""
    raise Refused("the text of the dataset cannot be read again", "give it as a file")


Spans: TypeAlias = "Sequence[tuple[int, int]]"  # of characters: from one, up to another


class Rows(NamedTuple):
    """An evaluation batch: ``steps`` predictions from each of ``starts`` [B], after ``history`` tokens."""

    starts: Tensor
    steps: int
    history: int


@dataclass(frozen=True, eq=False)
class TextDataset:
    """A stream of tokens in memory, as int32, with the settings that made it."""

    name: str
    vocabulary: Vocabulary
    tokens: Tensor  # int32 [N]
    source: str  # where it was found, for messages
    kind: str  # of tokens: one of KINDS
    rule: str  # of cleaning: one of RULES
    steps: int = 35  # T, tokens of a window
    sampling: str = "sequential"  # one of SAMPLINGS
    prefix: str | None = None  # text that samples continue; None: the beginning of the stream
    begins: np.ndarray | None = None  # int32 [N + 1]: the character at which each token begins, and the end; None: N
    cut_fingerprint: str = ""  # of the cleaned text, where it is cut into tokens, and the vocabulary
    text_fingerprint: str = ""  # of the cleaned text, independent of its tokens
    contents: tuple[Content, ...] = ()  # the files that were read
    read: Callable[[], str] = unreadable  # reads the whole text again

    def to(self, device: torch.device | str) -> TextDataset:
        """Return the same dataset with its tokens on ``device``."""
        return replace(self, tokens=self.tokens.to(device))

    def sha256(self) -> str:
        """The sha256 of the tokens as little-endian int32."""
        return hashlib.sha256(self.tokens.cpu().numpy().astype("<i4").tobytes()).hexdigest()

    def beginning(self) -> list[str]:
        """The tokens that samples continue: the known tokens of ``prefix``, else the first tokens of the stream."""
        known = [] if self.prefix is None else prefix_tokens(self.prefix, self.kind, self.rule)
        return known or self.vocabulary.decode(self.tokens[:FIRST].tolist())

    @property
    def inputs(self) -> Stream:
        """Windows of tokens."""
        return Stream(self.steps)

    @property
    def outputs(self) -> int:
        """The number of logits: one for each token of the vocabulary."""
        return len(self.vocabulary)

    @property
    def characters(self) -> int:
        """The number of characters of the cleaned text in the stream."""
        return len(self.tokens) if self.begins is None else int(self.begins[-1])

    def at(self, character: int) -> int:
        """Return the first token that begins at or after ``character`` of the cleaned text."""
        return character if self.begins is None else int(np.searchsorted(self.begins[:-1], character))

    def check_split(self, config: Config) -> None:
        """Raise Refused, with a hint that works, if a subset of any fold is too short for a window or a batch."""
        check_text(config, self)

    def fit(self, config: Config) -> TextDataset:
        """Return the dataset itself: its vocabulary is of the whole text, as in the book."""
        return self

    def split(self, validation: Any, seed: int = 0) -> Split[TextSubset]:
        """Return the split: the end of the stream, or one of K pieces, validates; there is no test set.

        The split does not depend on the seed. The stream is split before it is cut into windows. Raises Refused.
        """
        count = self.characters
        if validation.name == "holdout":
            return Split(*self.parts(*cut(count, validation.fraction)))
        if validation.name == "kfold":
            start, end = splits.block(count, validation)
            return Split(*self.parts([(0, start), (end, count)], [(start, end)]))
        return Split(self.part((0, count)))

    def part(self, *spans: tuple[int, int]) -> TextSubset:
        """Return the tokens that begin in one of ``spans``, each a (start, end) in characters of the cleaned text."""
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
        """Return the training and the validation part; raises Refused if the validation part is too short."""
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
    """A stream of tokens that trains or validates. A batch is named by the start positions [B] of its rows."""

    tokens: Tensor  # int32 [N]
    steps: int  # T
    sampling: str
    widths: np.ndarray | None = None  # int32 [N]: characters up to the next token; None: each token is one
    fingerprint: str = ""  # equal for the same tokens of the same vocabulary
    text_fingerprint: str = ""  # equal for the same characters, independent of their tokens
    of: int | None = None  # number of tokens of the whole part, if this is only its beginning

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    @property
    def characters(self) -> int:
        """The number of characters in the predicted tokens: all except the first."""
        return len(self.tokens) - 1 if self.widths is None else int(self.widths[1:].sum())

    def refuse_if_short(self, size: int) -> None:
        """Raise Refused if an epoch with some offset has no batch of ``size`` rows."""
        count, wanted = len(self.tokens), needed(size, self.steps, self.sampling)
        if count < wanted:
            raise Refused(
                f"{counted(count, 'token')}, too few for a batch "
                f"of {counted(size, 'row')} of {self.steps}: wanted {wanted:,}",
                smaller(count, self.steps, self.sampling),
            )

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """Return the batches of an epoch: at least one if ``refuse_if_short`` accepts the stream."""
        return starts(len(self.tokens), size, self.steps, self.sampling, seed, epoch)

    def ordered(self, size: int) -> list[list[Rows]]:
        """Return the whole stream in chains of at most ``size`` rows; every token except the first is predicted once.

        The stream is read as several parallel rows. Each row except the first begins with tokens that are read but
        not measured, so that every prediction has a history. The rows depend only on the stream: a larger batch reads
        more rows at a time and measures the same. Raises Refused if there is no token to predict.
        """
        predicted = len(self.tokens) - 1
        if predicted < 1:
            raise Refused(
                f"{counted(len(self.tokens), 'token')}, too few to measure: wanted 2",
                "give a longer text, or hold more of it out (validation)",
            )
        count = min(ROWS, predicted // LONG)  # rows with a history
        first = predicted if count == 0 else HISTORY + (predicted - HISTORY) % count  # the rest divides evenly
        each = (predicted - first) // count if count else 0
        later = first + each * torch.arange(count)  # [R]
        return [
            self.chain(torch.zeros(1, dtype=torch.int64), first, history=0),
            *(self.chain(rows, each, HISTORY) for rows in later.split(size) if count),
        ]

    def limited(self, batches: int, size: int) -> TextSubset:
        """Return the beginning of the stream, with as many predictions as ``batches`` of ``size`` rows."""
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
        """Return the subset itself: all training batches have the same number of rows."""
        return self

    def chain(self, starts: Tensor, length: int, history: int) -> list[Rows]:
        """Return the windows of ``length`` predictions from each of ``starts`` [B]."""
        return [
            Rows(starts + at, min(self.steps, length - at), 0 if at else history) for at in range(0, length, self.steps)
        ]

    def load(self, batch: Tensor | Rows) -> tuple[Tensor, Tensor]:
        """Return inputs int64 [B, H + T] and targets int64 [B, T]; in training H = 0."""
        starts, steps, history = self.rows(batch)
        inputs, targets = at(self.tokens, starts.to(self.tokens.device) - history, history + steps)
        return inputs, targets[:, history:]

    def count(self, batches: list[Tensor] | list[Rows]) -> int:
        """Return the number of predicted tokens in the batches."""
        return sum(len(rows.starts) * rows.steps for rows in map(self.rows, batches))

    def rows(self, batch: Tensor | Rows) -> Rows:
        """Return an evaluation batch unchanged, and a training batch (its starts) as whole windows."""
        return batch if isinstance(batch, Rows) else Rows(batch, self.steps, 0)


def cut(count: int, fraction: float) -> tuple[Spans, Spans]:
    """Split ``count`` characters: the first part trains, the last ``fraction`` validates.

    The split comes before the windows, so no window has tokens of both parts, not even as a label.
    """
    kept = count - round(count * fraction)
    return [(0, kept)], [(kept, count)]


def starts(count: int, batch_size: int, steps: int, sampling: str, seed: int, epoch: int) -> list[Tensor]:
    """Return the start of each row, int64 [B], for each batch of ``count`` tokens: a pure function of (seed, epoch).

    random: adjacent windows from a random offset, in random order, each with a zero state.
    sequential: in the next batch, row i continues after its last token, and the state is passed on.
    Tokens that do not fill a batch are left out, as in the book.
    """
    generator = np.random.default_rng([seed, epoch])
    if sampling == "random":
        return random_starts(count, batch_size, steps, int(generator.integers(steps)), generator)
    return sequential_starts(count, batch_size, steps, int(generator.integers(steps + 1)))  # inclusive, as in the book


def random_starts(count: int, batch_size: int, steps: int, offset: int, generator: np.random.Generator) -> list[Tensor]:
    """``starts`` for the sampling random."""
    windows = max(count - offset - 1, 0) // steps  # - 1: the last label
    batches = windows // batch_size
    order = generator.permutation(windows)[: batches * batch_size]
    return list(torch.from_numpy(offset + steps * order).view(batches, batch_size))


def sequential_starts(count: int, batch_size: int, steps: int, offset: int) -> list[Tensor]:
    """``starts`` for the sampling sequential."""
    length = max(count - offset - 1, 0) // batch_size  # tokens of a row over all batches; - 1: the last label
    rows = offset + length * torch.arange(batch_size)  # [B]
    return [rows + steps * batch for batch in range(length // steps)]


def needed(batch_size: int, steps: int, sampling: str) -> int:
    """Return the length of the shortest stream that gives a batch from every offset."""
    return (batch_size + 1) * steps if sampling == "random" else (batch_size + 1) * steps + 1


def smaller(count: int, steps: int, sampling: str) -> str:
    """Return a hint with the largest batch, or else the longest window, that fits a stream of ``count`` tokens."""
    fixed = needed(0, 0, sampling)
    if (rows := (count - fixed) // steps - 1) >= 1:
        return f"train.batch_size={rows}, or a longer text"
    if (longest := (count - fixed) // 2) >= 1:
        return f"train.batch_size=1 dataset.steps={longest}, or a longer text"
    return "give a longer text"


def at(tokens: Tensor, starts: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return inputs and labels, int64 [B, T]: the tokens from ``starts`` [B], and the token after each."""
    rows = tokens.unfold(0, steps + 1, 1).index_select(0, starts)  # [B, T + 1]
    return rows[:, :-1].long(), rows[:, 1:].long()
