"""Batches of sequences of similar lengths, so that little of a batch is padding. N sequences, B batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from d2lrun.training.examples import Indexed, batches, order

POOL = 50  # batches: the sequences of so many random batches are sorted by length


class ByLength(Indexed):
    """A subset of sequences; ``lengths`` are those of all N sequences of the pool, int64 [N] on the CPU.

    A training batch has sequences of similar lengths. Training batches, and the sequences in each pool of batches, are
    random: a pure function of (seed, epoch). ``grouped`` false: random batches, with more padding.
    """

    lengths: Tensor
    grouped: bool

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """Return the shuffled batches of an epoch."""
        if not self.grouped:
            return batches(self.index, size, seed, epoch, self.least)
        mixed = order(self.index, seed, epoch)
        pools = [by_length(pool, self.lengths) for pool in mixed.split(size * POOL)]
        found = [batch for pool in pools for batch in pool.split(size)]
        if len(found) > 1 and len(found[-1]) < self.least:
            found[-2:] = [torch.cat(found[-2:])]
        places = order(torch.arange(len(found)), seed, epoch)
        return [found[place] for place in places.tolist()]

    def ordered(self, size: int) -> list[list[Tensor]]:
        """Return all sequences in batches of similar lengths, the shortest first."""
        return [[batch] for batch in by_length(self.index, self.lengths).split(size)]


def by_length(index: Tensor, lengths: Tensor) -> Tensor:
    """Return the indices [n] sorted by ``lengths`` [N]; equal lengths keep their order."""
    return index[lengths[index].argsort(stable=True)]


def in_stored_order(parts: Any, batches: list[Tensor]) -> Tensor:
    """Return the rows of ``parts``, a tensor [B, …] for each of ``batches``, sorted by the index of their sequence."""
    return torch.cat(list(parts))[torch.cat(batches).argsort()]
