"""Tagged sentences in memory. N sentences, B batch, T words of the longest sentence, C characters, K tags.

As read, each different word and each different tag has a number, ``PAD`` and above. The vocabularies are learned from
the training part only (``fitted``): then a number of a word becomes its index in the vocabulary and its spelling.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.models.inputs import Sequences, Spelled
from d2lrun.tasks.tagging.styles import PLAIN, Style
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import PAD, UNKNOWN, Vocabulary
from d2lrun.training.bylength import ByLength
from d2lrun.training.examples import Examples

FIRST = PAD + 1  # the number of the first word and of the first tag
IGNORED = -100  # the target at padding
RESERVED = ("<pad>",)  # after <unk>
UNKNOWN_TAG = 0  # the index of all tags that training does not have; it is never predicted


@dataclass(frozen=True, eq=False)
class Pool:
    """Sentences: the numbers of their words, and of the tags beside them."""

    words: Ragged
    tags: Ragged

    def to(self, device: torch.device | str) -> Pool:
        """Return the same sentences on ``device``."""
        return Pool(self.words.to(device), self.tags.to(device))

    def cut(self, steps: int) -> Pool:
        """Return the first ``steps`` words of each sentence."""
        lengths = self.words.lengths.clamp(max=steps)
        return Pool(replace(self.words, lengths=lengths), replace(self.tags, lengths=lengths))


def flat(ragged: Ragged, index: Tensor) -> Tensor:
    """Return the items of the sequences ``index`` [n], one after another, int64 on the CPU."""
    lengths = ragged.lengths[index]
    begins = lengths.cumsum(0) - lengths  # of each sequence in the result
    places = torch.arange(int(lengths.sum())) + (ragged.starts.cpu()[index] - begins).repeat_interleave(lengths)
    return ragged.items.cpu()[places].long()


@dataclass(frozen=True, eq=False)
class Learned:
    """What a dataset learns from its training part; nothing before ``fitted``."""

    index: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))  # the sentences of "train" [n]
    vocabulary: Vocabulary = field(default_factory=lambda: Vocabulary([]))
    alphabet: Vocabulary = field(default_factory=lambda: Vocabulary([]))
    tagset: Vocabulary = field(default_factory=lambda: Vocabulary([]))
    # On the device, by the numbers of words and tags:
    spelling: Tensor = field(default_factory=lambda: torch.zeros(0))  # int64 [words, 1 + C]: what the network is given
    tag_indices: Tensor = field(default_factory=lambda: torch.zeros(0))  # int64 [tags]: the index in ``tagset``

    def to(self, device: torch.device | str) -> Learned:
        """Return the same on ``device``."""
        return replace(self, spelling=self.spelling.to(device), tag_indices=self.tag_indices.to(device))


@dataclass(frozen=True, eq=False)
class TaggedDataset(Examples["TaggedSubset"]):
    """Sentences of words, each with a tag. Only ``fitted`` makes what a network is given."""

    name: str
    words: tuple[str, ...]  # by number; the first ``FIRST`` are no words
    tags: tuple[str, ...]  # by number, as words
    train: Pool
    test: Pool | None
    source: str  # where it was found, for messages
    contents: tuple[Content, ...]  # the files that were read
    digests: Mapping[str, str]  # "train" and "test": fingerprints of their words and tags
    style: Style = PLAIN
    steps: int = 10**6  # most words of a sentence; the others are cut off
    min_freq: int = 1  # words that occur less often in training become <unk>
    characters: int | None = None  # of each word that the network sees; None: words alone
    learned: Learned = field(default_factory=lambda: Learned())

    @property
    def inputs(self) -> Sequences:
        """Words, with their characters if ``characters`` is not None."""
        return network_inputs(self.learned.vocabulary.tokens, self.learned.alphabet.tokens, self.characters)

    @property
    def outputs(self) -> int:
        """The number of tags, K; the first is for unknown ones."""
        return len(self.learned.tagset)

    @property
    def strata(self) -> Tensor:
        """Return int64 [N] on the CPU, all 0: sentences have no classes, so the split depends only on the seed."""
        return torch.zeros(len(self.train.words), dtype=torch.int64)

    def sentences(self, name: str) -> Pool:
        """Return the sentences of "train" or "test", cut to ``steps``."""
        pool = self.train if name == "train" else self.test
        assert pool is not None, "``part`` gives no subset of a pool that is not there"
        return pool.cut(self.steps)

    def to(self, device: torch.device | str) -> TaggedDataset:
        """Return the same dataset with its tensors on ``device``."""
        test = None if self.test is None else self.test.to(device)
        return replace(self, train=self.train.to(device), test=test, learned=self.learned.to(device))

    def pool(self, name: str) -> str:
        """Return the fingerprint of all sentences of "train" or "test", cut to ``steps``."""
        return fingerprint(self.digests[name], self.sentences(name).words.lengths)

    def part(self, name: str, index: Tensor | None = None) -> TaggedSubset | None:
        """Return the sentences ``index`` [n] (default: all) of "train" or "test"; None if there is no test set."""
        if name == "test" and self.test is None:
            return None
        pool = self.sentences(name)
        index = torch.arange(len(pool.words)) if index is None else index.cpu()
        return TaggedSubset(self, pool, pool.words.lengths, index, name)

    def fitted(self, index: Tensor) -> TaggedDataset:
        """Return the dataset with its vocabularies learned from the training sentences ``index`` [n] only."""
        pool = self.sentences("train")
        counts = counts_of(flat(pool.words, index), self.words)
        vocabulary = Vocabulary.of(counts, self.min_freq, RESERVED)
        tagset = Vocabulary.of(counts_of(flat(pool.tags, index), self.tags))
        letters: Counter[str] = Counter()
        for word, count in counts.items() if self.characters else ():
            letters.update(dict.fromkeys(word, count))
        alphabet = Vocabulary.of(letters, reserved=RESERVED)
        spelling = spelled(self.words, vocabulary, alphabet, self.characters)
        spelling[PAD] = PAD
        learned = Learned(index.cpu(), vocabulary, alphabet, tagset, spelling, torch.tensor(tagset.encode(self.tags)))
        return replace(self, learned=learned.to(pool.words.items.device))


def counts_of(numbers: Tensor, texts: Sequence[str]) -> dict[str, int]:
    """Return how often each text occurs, by ``numbers`` [n]; without texts that do not occur."""
    found = numbers.bincount(minlength=len(texts)).tolist()
    return {text: count for text, count in zip(texts, found, strict=True) if count}


def network_inputs(tokens: Sequence[str], alphabet: Sequence[str], characters: int | None) -> Sequences:
    """Return what the network is given, by its vocabularies."""
    if characters is None:
        return Sequences(len(tokens), each=True)
    return Spelled(len(tokens), each=True, characters=len(alphabet), spelled=characters)


def spelled(words: Sequence[str], vocabulary: Vocabulary, alphabet: Vocabulary, characters: int | None) -> Tensor:
    """Return the index of each word and its first ``characters`` characters, int64 [N, 1 + C]; [N, 1] for None.

    A word or character that is written like a reserved one is unknown.
    """
    rows = np.full((len(words), 1 + (characters or 0)), PAD, np.int64)
    rows[:, 0] = np.array(vocabulary.encode(words), np.int64)
    rows[rows[:, 0] < FIRST, 0] = 0
    for row, word in zip(rows, words) if characters else ():
        letters = alphabet.encode(word[:characters])
        row[1 : 1 + len(letters)] = letters
    return torch.from_numpy(rows)


@dataclass(frozen=True, eq=False)
class TaggedSubset(ByLength):
    """The sentences that train, validate or test. A batch is named by the indices [B] of its sentences, on the CPU."""

    data: TaggedDataset
    sentences: Pool
    lengths: Tensor  # int64 [N], of all sentences of the pool
    index: Tensor  # int64 [n]
    pool: str  # the pool that the indices refer to: train or test
    of: int | None = None  # number of words of the whole subset, if this is only its beginning
    least: int = 1  # least number of sentences in a training batch
    grouped: bool = True

    @property
    def size(self) -> int:
        """The number of words."""
        return int(self.lengths[self.index].sum())

    def count(self, batches: list[Tensor]) -> int:
        """Return the number of words in the batches, without padding."""
        return sum(int(self.lengths[batch].sum()) for batch in batches)

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return words [B, T, 1 + C] (or [B, T] without characters) and tags [B, T], which are IGNORED at padding."""
        words = self.sentences.words.padded(batch)  # [B, T]
        given = self.data.learned.spelling[words]  # [B, T, 1 + C]
        tags = self.data.learned.tag_indices[self.sentences.tags.padded(batch)]
        return given if self.data.characters else given[:, :, 0], tags.masked_fill(words == PAD, IGNORED)

    def numbers(self) -> tuple[Tensor, Tensor]:
        """Return the numbers of all words [n], and the indices of their tags [n], in stored order, on the CPU."""
        words, tags = (flat(each, self.index) for each in (self.sentences.words, self.sentences.tags))
        return words, self.data.learned.tag_indices.cpu()[tags]


def build(
    name: str,
    train: Iterable[tuple[Sequence[str], Sequence[str]]],
    test: Iterable[tuple[Sequence[str], Sequence[str]]] | None,
    source: str,
    contents: Sequence[Content],
    style: Style = PLAIN,
) -> TaggedDataset:
    """Return the dataset of sentences, each its words and their tags; raises Refused if there is none to train on."""
    words, tags = Numbers(), Numbers()
    pools = {"train": pool_of(train, words, tags), "test": pool_of(test or (), words, tags)}
    if not len(pools["train"].words):
        raise Refused(f"{source}: no sentence in it, wanted at least one", "give a file with tagged words")
    if UNKNOWN in tags:
        raise Refused(f"{source}: a tag is {UNKNOWN}, which stands for all unknown tags", "give it another name")
    digests = {
        name: fingerprint(digest(pool.words, words.texts()), digest(pool.tags, tags.texts()))
        for name, pool in pools.items()
    }
    return TaggedDataset(
        name,
        words.texts(),
        tags.texts(),
        pools["train"],
        pools["test"] if len(pools["test"].words) else None,
        source,
        tuple(contents),
        digests,
        style,
    )


def digest(ragged: Ragged, texts: Sequence[str]) -> str:
    """Return the fingerprint of sequences of texts: it does not depend on how other texts are numbered."""
    different, first, places = np.unique(ragged.items.numpy(), return_index=True, return_inverse=True)
    order = first.argsort()
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return fingerprint(*(texts[number] for number in different[order]), ranks[places.ravel()].astype(np.int32))


class Numbers(defaultdict[str, int]):
    """The number of each text; a new one gets the next number."""

    def __missing__(self, text: str) -> int:
        self[text] = number = FIRST + len(self)
        return number

    def texts(self) -> tuple[str, ...]:
        """Return the texts by number."""
        return (*[""] * FIRST, *self)


def pool_of(sentences: Iterable[tuple[Sequence[str], Sequence[str]]], words: Numbers, tags: Numbers) -> Pool:
    """Return the sentences that have words, numbered."""
    items, tag_items, lengths = array("i"), array("i"), array("q")
    for tokens, names in sentences:
        if tokens:
            items.extend(map(words.__getitem__, tokens))
            tag_items.extend(map(tags.__getitem__, names))
            lengths.append(len(tokens))
    sizes = torch.from_numpy(np.array(lengths, np.int64))
    starts = sizes.cumsum(0) - sizes
    return Pool(*(Ragged(torch.from_numpy(np.array(each, np.int32)), starts, sizes) for each in (items, tag_items)))
