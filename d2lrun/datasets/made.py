"""Random numbers for generated datasets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def draw(seed: int, place: int, count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs [count, width] and errors [count], all N(0, 1), of part ``place`` (0: train, 1: test).

    Each part has its own random streams for inputs and errors, so the first rows are the same for any ``count``.
    """
    inputs, errors = (np.random.default_rng([seed, place, stream]) for stream in (0, 1))
    return inputs.normal(size=(count, width)), errors.normal(size=count)


def tensor(numbers: np.ndarray) -> Tensor:
    """Return the numbers as a float32 tensor."""
    return torch.from_numpy(numbers).float()
