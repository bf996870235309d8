"""Which examples train and which validate, as index sets: a pure function of the labels and the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Indices into the training examples; ``val`` is None where nothing is kept for validation."""

    train: Tensor  # [n] int64
    val: Tensor | None  # [m] int64

    def to(self, device: torch.device) -> Split:
        return Split(self.train.to(device), None if self.val is None else self.val.to(device))


def split(config: Any, labels: Tensor, seed: int) -> Split:
    """The split that the config group ``validation`` describes. ``labels`` is [n], on the CPU."""
    if config.name == "none":
        return Split(torch.arange(len(labels)), None)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    classes = labels.unique() if config.stratify else []
    groups = [order[labels[order] == label] for label in classes] or [order]
    cuts = [round(len(group) * config.fraction) for group in groups]
    val = torch.cat([group[:cut] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    train = torch.cat([group[cut:] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    return Split(train, val)
