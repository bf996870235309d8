"""What trains and what validates: a pure function of the data and the seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset
from d2lrun.tasks import Part


@dataclass(frozen=True)
class Split:
    """The parts of a dataset; ``val`` or ``test`` is None where nothing is kept for it."""

    train: Part
    val: Part | None
    test: Part | None


def split(config: Any, data: ImageDataset | TextDataset, seed: int) -> Split:
    """The split that the config group ``validation`` describes, on the device where the data lies.

    Images are drawn by the seed; a text is cut before windows are made of it, its end validates.
    """
    if isinstance(data, TextDataset):
        return Split(*data.cut(config.fraction if config.name == "holdout" else None), None)
    if config.name == "none":
        return Split(data.part("train"), None, data.part("test"))
    train, val = holdout(config, data.train_labels.cpu(), seed)
    return Split(data.part("train", train), data.part("train", val), data.part("test"))


def holdout(config: Any, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The indices that train [n] and validate [m]; ``labels`` is [n + m], on the CPU."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
    classes = labels.unique() if config.stratify else []
    groups = [order[labels[order] == label] for label in classes] or [order]
    cuts = [round(len(group) * config.fraction) for group in groups]
    val = torch.cat([group[:cut] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    train = torch.cat([group[cut:] for group, cut in zip(groups, cuts, strict=True)]).sort().values
    return train, val
