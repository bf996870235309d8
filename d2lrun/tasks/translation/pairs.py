"""Pairs of sentences in memory: vocabularies, splits without a source in two parts, padded batches.

N pairs, B batch, S source tokens and T target tokens of the longest pair in a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from torch import Tensor

from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.models.inputs import Pairs
from d2lrun.tasks.translation.language import Language
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import BOS
from d2lrun.training import split_check, splits
from d2lrun.training.bylength import ByLength
from d2lrun.training.examples import Examples

Rows: TypeAlias = "Sequence[tuple[str, str]]"  # clean source and target sentences


@dataclass(frozen=True, eq=False)
class PairDataset(Examples["PairSubset"]):
    """Pairs of sentences in pools: train, perhaps test, and perhaps ``longer``: pairs longer than those that train."""

    name: str
    sources: Language
    targets: Language
    source: str  # where the pairs were found or how they were made, for messages
    rule: str  # of cleaning, as in ``sentences.clean``
    min_freq: int  # tokens that occur less often in the training part are unknown
    steps: int | None  # most tokens of a sentence, with <eos>; None: no limit
    batches: str  # fixed: padded to ``steps``; random: to the longest of a batch; by_length: of similar lengths
    loss: str  # token: the mean over tokens; book: as the book's code
    metric: str  # that ranks: perplexity, or exact_match if each source has one right answer
    samples: Mapping[str, str] = field(default_factory=dict)  # sources to translate, with targets; none: of a part
    contents: tuple[Content, ...] = ()  # the files that were read, or the pairs that were made
    prints: Mapping[str, str] = field(default_factory=dict)  # the fingerprint of each pool

    @property
    def inputs(self) -> Pairs:
        """Source and target sequences."""
        return Pairs(len(self.sources.vocabulary), self.width)

    @property
    def width(self) -> int | None:
        """The length to which every sentence is padded; None: the longest of a batch."""
        return self.steps if self.batches == "fixed" else None

    @property
    def outputs(self) -> int:
        """The number of logits: one for each token of the target vocabulary."""
        return len(self.targets.vocabulary)

    @cached_property
    def strata(self) -> Tensor:
        """int64 [groups], all 0: pairs with the same source are one group, which is never divided."""
        return torch.zeros(int(self.groups.max()) + 1, dtype=torch.int64)

    @cached_property
    def groups(self) -> Tensor:
        """The group of each training pair, int64 [N]: the number of its source sentence."""
        places: dict[tuple[int, ...], int] = {}
        sentences = self.sources.whole["train"]
        parts = sentences.items.split(sentences.lengths.tolist())
        return torch.tensor([places.setdefault(tuple(part.tolist()), len(places)) for part in parts])

    def divide(self, validation: Any, seed: int) -> tuple[Tensor, Tensor | None]:
        """Return the training pairs that train, int64 [n], and those that validate, or None; no source is in both."""
        if validation.name in ("none", "once"):
            return torch.arange(len(self.groups)), None
        found = (splits.holdout if validation.name == "holdout" else splits.fold)(validation, self.strata, seed)
        train, val = (torch.isin(self.groups, groups).nonzero()[:, 0] for groups in found)
        return train, val

    def fitted(self, index: Tensor) -> PairDataset:
        """Return the dataset with the vocabularies of the training pairs ``index`` [n]."""
        sources, targets = (side.learned(index, self.min_freq, self.steps) for side in (self.sources, self.targets))
        return replace(self, sources=sources, targets=targets)

    def check_split(self, config: Any) -> None:
        """Raise Refused, with a hint that works, if a part of any fold has no source sentence."""
        split_check.check_examples(config, self.strata, ())

    def to(self, device: torch.device | str) -> PairDataset:
        """Return the same dataset with its encoded sentences on ``device``."""
        return replace(self, sources=self.sources.to(device), targets=self.targets.to(device))

    def pool(self, name: str) -> str:
        """Return the fingerprint of all pairs of a pool."""
        return self.prints[name]

    def part(self, name: str, index: Tensor | None = None) -> PairSubset | None:
        """Return the pairs ``index`` [n] (default: all) of a pool; None if there is no such pool."""
        if name not in self.prints:
            return None
        lengths = torch.maximum(self.sources.encoded[name].lengths, self.targets.encoded[name].lengths)
        index = torch.arange(len(lengths)) if index is None else index
        return PairSubset(self, name, index, lengths, self.batches == "by_length")


@dataclass(frozen=True, eq=False)
class PairSubset(ByLength):
    """The pairs that train, validate or test. A batch is named by the indices [B] of its pairs, on the CPU."""

    data: PairDataset
    pool: str
    index: Tensor  # int64 [n], on the CPU
    lengths: Tensor  # int64 [N], on the CPU: of the longer sentence of each pair of the pool
    grouped: bool  # whether the pairs of a batch have similar lengths
    of: int | None = None  # target tokens of the whole subset, if this is only its beginning
    least: int = 1

    @property
    def sources(self) -> Ragged:
        """The encoded source sentences of the pool."""
        return self.data.sources.encoded[self.pool]

    @property
    def targets(self) -> Ragged:
        """The encoded target sentences of the pool."""
        return self.data.targets.encoded[self.pool]

    @property
    def size(self) -> int:
        """The number of target tokens."""
        return self.count([self.index])

    def load(self, batch: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Return the inputs, sources [B, S] and shifted targets [B, T] that begin with <bos>, and targets [B, T]."""
        sources, targets = (side.padded(batch, self.data.width) for side in (self.sources, self.targets))
        return (sources, shifted(targets)), targets

    def count(self, batches: list[Tensor]) -> int:
        """Return the number of target tokens in the batches, without padding."""
        return sum(int(self.targets.lengths[batch].sum()) for batch in batches)

    def cases(self) -> dict[str, list[str]]:
        """Return {source: its targets} of all pairs, as they were read."""
        found: dict[str, list[str]] = {}
        for number in self.index.tolist():
            source, target = (side.sentence(self.pool, number) for side in (self.data.sources, self.data.targets))
            found.setdefault(source, []).append(target)
        return found


def shifted(targets: Tensor) -> Tensor:
    """Return <bos> and the targets [B, T] without the last: what precedes each target."""
    return torch.cat((targets.new_full((len(targets), 1), BOS), targets[:, :-1]), dim=1)


def build(name: str, pools: Mapping[str, Rows], source: str, kinds: tuple[str, str], **settings: Any) -> PairDataset:
    """Return the dataset of clean pairs on the CPU, with the vocabularies of all training pairs.

    ``kinds`` of source and target tokens; ``settings`` are the other fields of ``PairDataset``. Raises Refused if no
    pair trains, or if fixed batches or the book's loss have no number of steps.
    """
    for key, value in (("batches", "fixed"), ("loss", "book")):
        if settings[key] == value and settings["steps"] is None:
            raise Refused(f"dataset.{key}={value} needs dataset.steps", "dataset.steps=10 as in the book, or another")
    if not pools["train"]:
        raise Refused(f"dataset={name}: no pair of sentences to train on, in {source}", "give more pairs")
    pools = {pool: rows for pool, rows in pools.items() if rows}
    sources, targets = (
        Language.of(kind, {pool: side(rows, place) for pool, rows in pools.items()}) for place, kind in enumerate(kinds)
    )
    prints = {pool: fingerprint(sources.fingerprint(pool), targets.fingerprint(pool)) for pool in pools}
    data = PairDataset(name, sources, targets, source, prints=prints, **settings)
    return data.fitted(torch.arange(len(pools["train"])))


def side(rows: Rows, place: int) -> Iterable[str]:
    """Return the sources (``place`` 0) or the targets (1)."""
    return (row[place] for row in rows)
