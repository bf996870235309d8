"""Sequences of different lengths in memory, without padding. N sequences, B batch, T items of its longest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from d2lrun.text.vocabulary import PAD


@dataclass(frozen=True, eq=False)
class Ragged:
    """N sequences of numbers, one after another. ``lengths`` stays on the CPU: no step waits for the device."""

    items: Tensor  # int32 [sum of lengths], on the device
    starts: Tensor  # int64 [N]: the place of each sequence in ``items``, on the device
    lengths: Tensor  # int64 [N], on the CPU

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int]]) -> Ragged:
        """Return the sequences, each at least 0 items long, on the CPU."""
        parts = [np.asarray(sequence, np.int32) for sequence in sequences]
        lengths = torch.tensor([len(part) for part in parts], dtype=torch.int64)
        items = torch.from_numpy(np.concatenate([np.zeros(0, np.int32), *parts]))
        return cls(items, lengths.cumsum(0) - lengths, lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, number: int) -> list[int]:
        """Return one sequence."""
        start = int(self.starts[number])
        return self.items[start : start + int(self.lengths[number])].tolist()

    def to(self, device: torch.device | str) -> Ragged:
        """Return the same sequences on ``device``."""
        return replace(self, items=self.items.to(device), starts=self.starts.to(device))

    def padded(self, index: Tensor, steps: int | None = None) -> Tensor:
        """Return the sequences ``index`` [B], a tensor on the CPU, as int64 [B, T] on the device, with PAD at the end.

        T is the length of the longest of them, or ``steps``: then a longer one is cut.
        """
        lengths = self.lengths[index]
        width = int(lengths.max()) if steps is None else steps
        device = self.items.device
        places = torch.arange(width, device=device)  # [T]
        inside = places < lengths.to(device, non_blocking=True).unsqueeze(1)  # [B, T]
        at = self.starts[index.to(device, non_blocking=True)].unsqueeze(1) + places
        last = max(len(self.items) - 1, 0)
        if not len(self.items):
            return torch.full((len(index), width), PAD, device=device)
        return self.items[at.clamp(max=last)].long().masked_fill(~inside, PAD)
