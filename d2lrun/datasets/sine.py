"""The book's noisy sine (book 8.1): sin(0.01 t) + 0.2 · N(0, 1) at t = 1, 2, … N values."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from d2lrun.disk.content import made
from d2lrun.disk.locate import Progress, Say
from d2lrun.tasks.forecasting.series import SeriesDataset


def load(
    frequency: float,
    n_train: int,
    n_test: int,
    noise: float,
    seed: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> SeriesDataset:
    """sin(frequency · t) + noise · N(0, 1); a longer series begins with the shorter one."""
    times = np.arange(1, n_train + n_test + 1)
    signal = np.sin(frequency * times)  # [N]
    values = signal + noise * np.random.default_rng(seed).normal(size=len(times))
    return SeriesDataset(
        "sine",
        torch.from_numpy(values),
        n_train,
        source=f"made by seed {seed}",
        column="x",
        signal=torch.from_numpy(signal),
        contents=(made(f"made by seed {seed}", values),),
    )


def form(config: Any) -> tuple[tuple[int], int]:
    """Return the shape of a window, and the number of outputs; no value is generated."""
    return (config.tau,), 1
