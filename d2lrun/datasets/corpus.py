"""Text as numbers: cleaned lines, cut into tokens, counted into a vocabulary, read window by window.

N tokens of a stream, V of a vocabulary, B rows of a batch, T time steps of a row.
"""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.errors import Refused

UNKNOWN = "<unk>"
KINDS = ("char", "word", "jieba")  # of tokens
RULES = ("letters", "lower", "none")  # of cleaning
SAMPLINGS = ("random", "sequential")
NO_LETTERS = re.compile("[^A-Za-z]+")
LONG = 64  # windows of a row, at least, in an evaluation: only its first has no history
FIRST = 14  # tokens that a sample continues
BLOCK = 1 << 24  # characters encoded at a time, so that what is needed meanwhile stays small


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a network knows, by index; 0 stands for every other one."""

    tokens: list[str]

    @classmethod
    def of(cls, counts: Mapping[str, int], min_freq: int = 0, reserved: Sequence[str] = ()) -> Vocabulary:
        """<unk>, the ``reserved`` ones, then what occurs ``min_freq`` times or more: the commonest first.

        Of equally common ones that which stands first in ``counts``: in a Counter, the one seen first.
        """
        common = sorted(counts, key=counts.__getitem__, reverse=True)
        kept = (token for token in common if counts[token] >= min_freq)
        return cls(list(dict.fromkeys([UNKNOWN, *reserved, *kept])))

    @cached_property
    def indices(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.tokens)}

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        return [self.indices.get(token, 0) for token in tokens]

    def decode(self, indices: Iterable[int]) -> list[str]:
        return [self.tokens[index] for index in indices]

    def unknown(self, tokens: Iterable[str]) -> list[str]:
        """Those of ``tokens`` that it does not know, each once."""
        return [token for token in dict.fromkeys(tokens) if token not in self.indices]

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"tokens": self.tokens}

    @classmethod
    def from_data(cls, data: Any) -> Vocabulary:
        """What ``to_data`` gave; raises ValueError that says what is wrong with anything else."""
        tokens = data.get("tokens") if isinstance(data, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError('wanted {"tokens": [a list of strings]}')
        if tokens[:1] != [UNKNOWN]:
            raise ValueError(f"the first token is not {UNKNOWN}")
        if len(set(tokens)) < len(tokens):
            raise ValueError(f"{Counter(tokens).most_common(1)[0][0]!r} is in it twice")
        return cls(tokens)


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
        train, val = (TextPart(tokens, self.steps, self.sampling) for tokens in cut(self.tokens, fraction))
        if len(val.tokens) <= self.steps:
            raise Refused(
                f"{len(val.tokens):,} tokens held out are too few for a window of {self.steps}: "
                f"wanted {self.steps + 1:,}",
                "give a longer text, a larger validation.fraction or a smaller dataset.steps",
            )
        return train, val


@dataclass(frozen=True, eq=False)
class TextPart:
    """A stream of tokens that trains or validates. A batch is named by the places [B] where its rows begin."""

    tokens: Tensor  # int32 [N]
    steps: int  # T
    sampling: str

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """The batches of an epoch; raises Refused where the stream is too short for one."""
        found = starts(len(self.tokens), size, self.steps, self.sampling, seed, epoch)
        if not found:
            raise Refused(
                f"{len(self.tokens):,} tokens are too few for a batch of {size} rows of {self.steps}: "
                f"wanted {needed(size, self.steps, self.sampling):,}",
                "give a longer text, a smaller train.batch_size or a smaller dataset.steps",
            )
        return found

    def ordered(self, size: int) -> list[Tensor]:
        """The stream from its beginning to its end, in few long rows, each with the state carried on."""
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


# --- from a text to tokens -----------------------------------------------------------------------------------


def clean(text: str, rule: str) -> list[str]:
    """The lines of a text, cleaned.

    letters: the book's rule; all but a to z becomes a space, and no line keeps its end. So in the stream of
    characters the last word of a line and the first of the next are one, as they are in the book.
    lower, none: in lower case or as it is, with the ends of the lines.
    """
    lines = io.StringIO(text.lower() if rule == "lower" else text, newline=None).readlines()
    if rule == "letters":
        return [NO_LETTERS.sub(" ", line).strip().lower() for line in lines]
    return lines


def tokenise(lines: Iterable[str], kind: str) -> Iterator[list[str]]:
    """The tokens of each line."""
    split = chinese_words() if kind == "jieba" else {"char": list, "word": str.split}[kind]
    for line in lines:
        yield list(split(line))


def untokenise(tokens: Iterable[str], kind: str) -> str:
    """The text that ``tokens`` make."""
    return (" " if kind == "word" else "").join(tokens)


def prefix_tokens(text: str, kind: str, rule: str) -> list[str]:
    """What a text to be continued begins with. Nothing of it is cleaned away, so that what is unknown can be said."""
    cased = text if rule == "none" else text.lower()
    return [token for tokens in tokenise([cased], kind) for token in tokens]


@cache
def chinese_words() -> Callable[[str], Iterable[str]]:
    """jieba's segmentation: it loses no character of a line, spaces included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its source is older than some rules of Python
        try:
            import jieba
        except ImportError:
            raise Refused("dataset.kind=jieba: jieba is not installed", "pip install 'd2lrun[zh]'") from None
        tokenizer = jieba.Tokenizer()
        # Its own start reads a marshal file from the shared temporary folder, where anyone may have put one.
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
        tokenizer.initialized = True
    return tokenizer.cut


# --- from tokens to numbers ----------------------------------------------------------------------------------


def number(lines: Sequence[str], kind: str) -> tuple[dict[str, int], np.ndarray]:
    """How often each token occurs, in the order of first appearance; the stream, int32 [N], as places in that order."""
    if kind == "char":
        return number_characters("".join(lines))
    places: defaultdict[str, int] = defaultdict()
    places.default_factory = places.__len__  # a new token gets the next place
    stream = array("i")
    for tokens in tokenise(lines, kind):
        stream.extend(map(places.__getitem__, tokens))
    numbers = np.array(stream, np.int32)
    return dict(zip(places, np.bincount(numbers, minlength=len(places)).tolist(), strict=True)), numbers


def number_characters(text: str) -> tuple[dict[str, int], np.ndarray]:
    """``number`` for characters: one look-up in a table by code point, since a string for each would take 60 bytes."""
    counts = Counter(text)
    places = np.zeros(max(map(ord, counts), default=0) + 1, np.int32)
    places[list(map(ord, counts))] = np.arange(len(counts))
    numbers = np.empty(len(text), np.int32)
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK].encode("utf-32-le", "surrogatepass")
        numbers[start : start + BLOCK] = places[np.frombuffer(block, np.uint32)]
    return dict(counts), numbers


# --- from numbers to batches ---------------------------------------------------------------------------------


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


def at(tokens: Tensor, starts: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Inputs and labels, int64 [B, T]: the tokens from ``starts`` [B] on, and the one that follows each."""
    rows = tokens.unfold(0, steps + 1, 1).index_select(0, starts)  # [B, T + 1]
    return rows[:, :-1].long(), rows[:, 1:].long()
