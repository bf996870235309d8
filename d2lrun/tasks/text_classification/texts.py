"""Labelled texts in memory: their tokens, the vocabulary of the training part, and batches of similar lengths.

N texts, B batch, T tokens of the longest text of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import Content, fingerprint
from d2lrun.models.inputs import Sequences
from d2lrun.text.corpus import clean, number, tokenise
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import PAD, RESERVED, Vocabulary
from d2lrun.training.bylength import ByLength
from d2lrun.training.examples import Examples

EMPTY = -1  # the number of the only token of a text without tokens; it becomes <unk>


@dataclass(frozen=True)
class Labelled:
    """N texts, and the name of the class of each."""

    texts: Sequence[str] = ()
    labels: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class LabelledTexts(Examples["LabelledSubset"]):
    """Two pools of texts, "train" and "test"; "test" may be empty. Texts and their labels stay on the CPU.

    ``tokens`` are numbers of the ``vocabulary``, which ``fitted`` learns from the training part; ``types`` are all
    tokens of both pools, and ``raw`` the texts as numbers of them.
    """

    name: str
    classes: tuple[str, ...]
    texts: Mapping[str, Sequence[str]]
    labels: Mapping[str, Tensor]  # int64 [N] that index ``classes``, on the device
    types: Sequence[str]
    raw: Mapping[str, Ragged]
    source: str  # where they were found, for messages
    contents: tuple[Content, ...]  # the files that were read
    pools: Mapping[str, str]  # fingerprints of texts and labels, independent of their tokens
    kind: str  # of tokens
    rule: str  # of cleaning
    vocabulary: Vocabulary
    tokens: Mapping[str, Ragged]
    learned: Tensor | None = None  # the training texts that the vocabulary is learned from, int64 [n]
    min_freq: int = 1  # a token with fewer occurrences becomes <unk>
    steps: int | None = None  # most tokens of a text: a longer one is cut; None: all
    weights: Tensor | None = None  # of the classes in the loss, float32 [K]; None: all alike
    scored: bool = False  # whether metrics in which each class counts alike are measured
    by_length: bool = True  # whether a training batch has texts of similar lengths

    @property
    def inputs(self) -> Sequences:
        """Return what the network is given: the numbers of the tokens of each text."""
        return Sequences(len(self.vocabulary))

    @property
    def outputs(self) -> int:
        """The number of logits: one for each class."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The classes, to stratify by."""
        return self.classes

    @property
    def strata(self) -> Tensor:
        """Return the labels of the training texts, int64 [N] on the CPU."""
        return self.labels["train"].cpu()

    @property
    def sizes(self) -> dict[str, int]:
        """Return the number of texts of "train" and "test"."""
        return {name: len(texts) for name, texts in self.texts.items()}

    def to(self, device: torch.device | str) -> LabelledTexts:
        """Return the same dataset with its tokens and labels on ``device``."""
        labels = {name: labels.to(device) for name, labels in self.labels.items()}
        weights = self.weights if self.weights is None else self.weights.to(device)
        tokens = {name: each.to(device) for name, each in self.tokens.items()}
        return replace(self, labels=labels, tokens=tokens, weights=weights)

    def fitted(self, index: Tensor) -> LabelledTexts:
        """Return the dataset with the vocabulary of the training texts ``index`` [n], and texts cut at ``steps``."""
        vocabulary = self.vocabulary_of(index)
        numbers = np.array([known(vocabulary.indices.get(token, 0)) for token in self.types] + [0], np.int32)
        device = self.labels["train"].device
        tokens = {name: numbered(raw, numbers, self.steps).to(device) for name, raw in self.raw.items()}
        return replace(self, vocabulary=vocabulary, tokens=tokens, learned=index)

    def vocabulary_of(self, index: Tensor) -> Vocabulary:
        """Return the vocabulary of the training texts ``index`` [n]: no other text has an influence on it."""
        raw = self.raw["train"]
        chosen = torch.zeros(len(raw), dtype=torch.bool).index_fill_(0, index, True)
        numbers = raw.items[chosen.repeat_interleave(raw.lengths)].numpy()
        types, first, counts = np.unique(numbers[numbers != EMPTY], return_index=True, return_counts=True)
        order = first.argsort()
        counted = {self.types[place]: count for place, count in zip(types[order].tolist(), counts[order].tolist())}
        return Vocabulary.of(counted, self.min_freq, RESERVED[:1])

    def pool(self, name: str) -> str:
        """Return the fingerprint of all texts and labels of "train" or "test", independent of their tokens."""
        return self.pools[name]

    def part(self, name: str, index: Tensor | None = None) -> LabelledSubset | None:
        """Return the texts ``index`` [n] (default: all) of "train" or "test"; None if there is no test text."""
        tokens, labels = self.tokens[name], self.labels[name]
        if not len(labels):
            return None
        index = torch.arange(len(labels)) if index is None else index
        return LabelledSubset(self, tokens, labels, index, tokens.lengths, self.by_length, name)


@dataclass(frozen=True, eq=False)
class LabelledSubset(ByLength):
    """The texts that train, validate or test. A batch is named by the indices [B] of its texts, on the CPU."""

    data: LabelledTexts
    tokens: Ragged
    labels: Tensor  # int64 [N]
    index: Tensor  # int64 [n], on the CPU
    lengths: Tensor  # int64 [N], on the CPU
    grouped: bool
    pool: str = "train"  # the pool that the indices refer to: train or test
    of: int | None = None  # number of texts of the whole part, if this is only its beginning
    least: int = 1  # least number of texts in a training batch

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens int64 [B, T] with PAD after each text, and labels [B]."""
        return self.tokens.padded(batch), self.labels[batch.to(self.labels.device, non_blocking=True)]


def build(
    name: str,
    train: Labelled,
    test: Labelled,
    source: str,
    *,
    contents: Sequence[Content],
    kind: str,
    rule: str,
) -> LabelledTexts:
    """Return the dataset of labelled texts, on the CPU; its vocabulary is not learned yet."""
    classes = tuple(sorted({*train.labels, *test.labels}, key=natural))
    places = {label: place for place, label in enumerate(classes)}
    parts = {"train": train, "test": test}
    labels = {
        key: torch.tensor([places[label] for label in part.labels], dtype=torch.int64) for key, part in parts.items()
    }
    types, raw = tokenised({key: part.texts for key, part in parts.items()}, kind, rule)
    return LabelledTexts(
        name,
        classes,
        {key: part.texts for key, part in parts.items()},
        labels,
        types,
        raw,
        source,
        tuple(contents),
        {key: fingerprint(*part.texts, "", *part.labels) for key, part in parts.items()},
        kind,
        rule,
        vocabulary=Vocabulary(types),
        tokens=raw,
    )


def natural(label: str) -> tuple[float, str]:
    """Return the key that sorts labels: whole numbers by value, then other labels by their letters."""
    return (int(label), "") if label.isdecimal() and len(label) < 10 else (float("inf"), label)


def line_of(text: str) -> str:
    """Return a text in one line: all white space, also line ends, becomes single spaces."""
    return " ".join(text.split())


def tokenised(texts: Mapping[str, Sequence[str]], kind: str, rule: str) -> tuple[list[str], dict[str, Ragged]]:
    """Return all different tokens, and for each pool its texts as their indices; EMPTY for a text without tokens."""
    lines = ["".join(clean(line_of(text), rule)) for part in texts.values() for text in part]
    counts, stream, begins = number(lines, kind)
    ends = np.cumsum([len(line) for line in lines])
    cuts = ends if begins is None else np.searchsorted(begins, ends)
    pieces: list[Any] = [piece if len(piece) else [EMPTY] for piece in np.split(stream, cuts)[: len(lines)]]
    cut = len(texts["train"])
    return list(counts), {"train": Ragged.of(pieces[:cut]), "test": Ragged.of(pieces[cut:])}


def numbered(raw: Ragged, numbers: np.ndarray, steps: int | None) -> Ragged:
    """Return the texts with the ``numbers`` of their tokens, at most the first ``steps`` of each."""
    lengths = raw.lengths if steps is None else raw.lengths.clamp(max=steps)
    return replace(raw, items=torch.from_numpy(numbers)[raw.items.long()], lengths=lengths)


def known(index: int) -> int:
    """Return the index of a token of a text: a text that contains the token of the padding has no padding inside."""
    return 0 if index == PAD else index


def encode(text: str, vocabulary: Vocabulary, kind: str, rule: str, steps: int | None) -> list[int]:
    """Return the numbers of the tokens of one text, the same as in a dataset; at least one."""
    line = "".join(clean(line_of(text), rule))
    tokens = [token for tokens in tokenise([line], kind) for token in tokens]
    return [known(index) for index in vocabulary.encode(tokens)][:steps] or [0]
