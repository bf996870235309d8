"""Random numbers for datasets that are made and not read."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def draw(seed: int, place: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [count, width] and errors [count], all N(0, 1), of the part number ``place`` (0 trains, 1 tests).

    Each part, and in it the inputs and the errors, has a stream of its own: the first rows are the same for any
    ``count``.
    """
    inputs, errors = (np.random.default_rng([seed, place, stream]) for stream in (0, 1))
    return inputs.normal(size=(count, width)), errors.normal(size=count)


def tensor(numbers: np.ndarray) -> Tensor:
    return torch.from_numpy(numbers).float()
