"""One side of the pairs, the sources or the targets, as numbers. N sentences, S tokens of all of them together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import fingerprint
from d2lrun.tasks.translation.sentences import sentence_of, tokens_of
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import EOS, RESERVED, Vocabulary


@dataclass(frozen=True, eq=False)
class Language:
    """The sentences of each pool ("train", "test", …), as numbers of ``types``, and as the network is given them."""

    kind: str  # of tokens: char, word or jieba
    types: Sequence[str]  # all tokens of all pools
    whole: Mapping[str, Ragged]  # on the CPU: numbers of types, as the sentences were read
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary.of({}, reserved=RESERVED))
    encoded: Mapping[str, Ragged] = field(default_factory=dict)  # numbers of the vocabulary, with <eos>, perhaps cut

    @classmethod
    def of(cls, kind: str, pools: Mapping[str, Iterable[str]]) -> Language:
        """Return the clean sentences of each pool; the vocabulary is still empty."""
        places: defaultdict[str, int] = defaultdict()
        places.default_factory = places.__len__  # a new token gets the next number
        whole = {
            name: Ragged.of([*map(places.__getitem__, tokens_of(sentence, kind))] for sentence in sentences)
            for name, sentences in pools.items()
        }
        return cls(kind, tuple(places), whole)

    def learned(self, index: Tensor, min_freq: int, steps: int | None) -> Language:
        """Return the same sentences with the vocabulary of the training sentences ``index`` [n].

        Tokens that occur less often than ``min_freq`` are unknown. Each sentence is followed by <eos>, and then cut to
        ``steps`` tokens, if given.
        """
        vocabulary = Vocabulary.of(self.counts("train", index), min_freq, RESERVED)
        numbers = np.array(encode(vocabulary, self.types), np.int32)
        encoded = {name: ended(sentences, numbers, steps) for name, sentences in self.whole.items()}
        return replace(self, vocabulary=vocabulary, encoded=encoded)

    def counts(self, pool: str, index: Tensor) -> dict[str, int]:
        """Return how often each token occurs in the sentences ``index`` [n] of a pool, the first seen first."""
        sentences = self.whole[pool]
        chosen = np.zeros(len(sentences), bool)
        chosen[index.numpy()] = True
        items = sentences.items.numpy()[chosen.repeat(sentences.lengths.numpy())]
        numbers, first, counts = np.unique(items, return_index=True, return_counts=True)
        order = first.argsort()
        return {self.types[number]: count for number, count in zip(numbers[order].tolist(), counts[order].tolist())}

    def sentence(self, pool: str, number: int) -> str:
        """Return one sentence as it was read."""
        return self.text(self.types[item] for item in self.whole[pool][number])

    def text(self, tokens: Iterable[str]) -> str:
        """Return the tokens as one text."""
        return sentence_of(list(tokens), self.kind)

    def decoded(self, numbers: Iterable[int]) -> str:
        """Return the text of numbers of the vocabulary."""
        return self.text(self.vocabulary.decode(numbers))

    def cut(self, pool: str) -> int:
        """Return how many sentences of a pool are longer than the steps."""
        return int((self.encoded[pool].lengths <= self.whole[pool].lengths).sum())

    def unknown(self, pool: str) -> float:
        """Return the share of the tokens of a pool that the vocabulary does not have."""
        items = self.whole[pool].items.numpy()
        known = np.array(encode(self.vocabulary, self.types), np.int32) > 0
        return float((~known[items]).mean()) if len(items) else 0.0

    def to(self, device: torch.device | str) -> Language:
        """Return the same sentences, encoded on ``device``."""
        return replace(self, encoded={name: sentences.to(device) for name, sentences in self.encoded.items()})

    def fingerprint(self, pool: str) -> str:
        """Return a fingerprint of the sentences of a pool, independent of the other pools."""
        sentences = self.whole[pool]
        numbers, places = np.unique(sentences.items.numpy(), return_inverse=True)
        used = [self.types[number] for number in numbers.tolist()]
        order = np.argsort(np.array(used, dtype=object), kind="stable") if used else np.zeros(0, np.int64)
        ranks = np.empty(len(used), np.int64)
        ranks[order] = np.arange(len(used))
        return fingerprint(*(used[place] for place in order), ranks[places].astype(np.int64), sentences.lengths)


def encode(vocabulary: Vocabulary, tokens: Sequence[str]) -> list[int]:
    """Return the numbers of the tokens; a token of a text that is written like a reserved one is unknown."""
    numbers = vocabulary.encode(tokens)
    return [0 if token in RESERVED else number for token, number in zip(tokens, numbers, strict=True)]


def ended(sentences: Ragged, numbers: np.ndarray, steps: int | None) -> Ragged:
    """Return the sentences in other ``numbers`` [types], each with <eos> at its end, then cut to ``steps``."""
    lengths = sentences.lengths.numpy()
    items = np.full(len(sentences.items) + len(lengths), EOS, np.int32)
    before = np.arange(len(lengths)).repeat(lengths)  # sentences before each token: each has one more token now
    items[np.arange(len(before)) + before] = numbers[sentences.items.numpy()] if len(before) else 0
    kept = torch.from_numpy(lengths + 1)
    starts = kept.cumsum(0) - kept
    return Ragged(torch.from_numpy(items), starts, kept if steps is None else kept.clamp(max=steps))
