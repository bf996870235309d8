"""Facts about tagged sentences: what is cut, what training does not have, what stands in two parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from d2lrun.counts import counted
from d2lrun.tasks.tagging.sentences import FIRST, UNKNOWN_TAG, TaggedDataset, TaggedSubset, flat

NAMED = 8  # most tags in a message


def remarks(data: TaggedDataset) -> Iterator[str]:
    """Yield lines for the user about a fitted dataset."""
    yield from cuts(data)
    train = data.train_part(data.learned.index)
    for name, part in held_out(data).items():
        yield from compared(data, train, name, part)


def cuts(data: TaggedDataset) -> Iterator[str]:
    """Yield a line if sentences are longer than ``steps``."""
    lengths = torch.cat([pool.words.lengths for pool in (data.train, data.test) if pool is not None])
    long = lengths > data.steps
    if long.any():
        lost = counted(int((lengths[long] - data.steps).sum()), "word")
        yield f"{counted(int(long.sum()), 'sentence')} longer than dataset.steps={data.steps} cut: {lost} left out"


def held_out(data: TaggedDataset) -> dict[str, TaggedSubset]:
    """Return the sentences from which nothing was learned: "held-out part" and "test part"."""
    there = torch.ones(len(data.train.words), dtype=torch.bool)
    there[data.learned.index] = False
    parts = {"held-out part": data.part("train", there.nonzero().flatten()), "test part": data.part("test")}
    return {name: part for name, part in parts.items() if part is not None and len(part.index)}


def compared(data: TaggedDataset, train: TaggedSubset, name: str, part: TaggedSubset) -> Iterator[str]:
    """Yield lines about the words, tags and sentences of ``part`` that training has not, or has too."""
    words, tags = part.numbers()
    unknown = int((data.learned.spelling.cpu()[words, 0] < FIRST).sum())
    yield f"{name}: {unknown:,} of {counted(len(words), 'word')} ({unknown / len(words):.1%}) not in the vocabulary"
    strange = int((tags == UNKNOWN_TAG).sum())
    if strange:
        known = set(data.learned.tagset.tokens)
        numbers = part.sentences.tags.items.cpu().unique().tolist()
        names = [data.tags[number] for number in numbers if data.tags[number] not in known]
        listed = ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")
        yield f"{name}: {counted(strange, 'tag')} that training does not have ({listed}): counted as errors"
    twice = len(repeated(train, part))
    if twice:
        yield f"{name}: {twice:,} of {counted(len(part.index), 'sentence')} also in training, word for word"


def repeated(train: TaggedSubset, part: TaggedSubset) -> list[int]:
    """Return the indices of the sentences of ``part`` whose words are those of a training sentence."""
    seen = {keys for _, keys in written(train)}
    return [index for index, keys in written(part) if keys in seen]


def written(part: TaggedSubset) -> Iterator[tuple[int, bytes]]:
    """Yield the index of each sentence, and the numbers of its words as bytes."""
    ragged = part.sentences.words
    items, starts, lengths = ragged.items.cpu().numpy(), ragged.starts.tolist(), ragged.lengths.tolist()
    for index in part.index.tolist():
        yield index, items[starts[index] : starts[index] + lengths[index]].tobytes()


def tag_counts(part: TaggedSubset, tags: Sequence[str]) -> Tensor:
    """Return how often each tag occurs, int64 by the numbers of the tags; the dataset need not be fitted."""
    return flat(part.sentences.tags, part.index).bincount(minlength=len(tags))


def unknown_share(train: TaggedSubset, part: TaggedSubset) -> float:
    """Return the share of the words of ``part`` that ``train`` does not have; the dataset need not be fitted."""
    own, known = (flat(each.sentences.words, each.index) for each in (part, train))
    return (~torch.isin(own, known)).double().mean().item()
