"""Forecasts without a network: the last value, a linear autoregression, the mean.

N values of a series, R windows, τ (tau) values of a window. All numbers are float64 in the units of the data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from d2lrun.tasks.forecasting.series import SeriesSubset

Step: TypeAlias = Callable[[Tensor], Tensor]  # windows [R, τ] -> the next value after each [R]

LONGEST = 1000  # values of a window; for a longer one there is no linear autoregression, since it takes too long
BLOCK = 1 << 22  # numbers of the windows that are reduced at a time, to limit the memory


def baselines_of(train: SeriesSubset) -> dict[str, Step]:
    """Return the baselines by name, fitted on the values that train only."""
    mean = train.targets.mean()
    found: dict[str, Step] = {"last value": lambda windows: windows[:, -1]}
    if train.data.tau <= LONGEST:
        weights = autoregression(train.data.values[: int(train.index[-1]) + 1], train.data.tau)
        found["linear autoregression"] = lambda windows: windows @ weights[:-1] + weights[-1]
    return found | {"mean": lambda windows: mean.expand(len(windows))}


def autoregression(values: Tensor, tau: int) -> Tensor:
    """Return the weights of the τ values of a window and the constant, [τ + 1], with the least squared error.

    The windows are reduced block by block to the triangle R of a QR decomposition, which has the same least-squares
    solution: so a long series needs little memory. The values are centred first, for the numbers' precision.
    """
    centre = values.mean().item()
    rows = np.lib.stride_tricks.sliding_window_view((values - centre).numpy(), tau + 1)  # [R, τ + 1], a view
    triangle: np.ndarray = np.empty((0, tau + 2))
    size = max(1, BLOCK // (tau + 2))
    for begin in range(0, len(rows), size):
        block = rows[begin : begin + size]
        block = np.concatenate((block[:, :-1], np.ones((len(block), 1)), block[:, -1:]), axis=1)  # τ values, 1, target
        triangle = np.asarray(np.linalg.qr(np.concatenate((triangle, block)), mode="r"))
    weights = np.linalg.lstsq(triangle[:, :-1], triangle[:, -1], rcond=None)[0]
    weights[-1] += centre * (1 - weights[:-1].sum())
    return torch.from_numpy(weights)


def one_step_errors(steps: dict[str, Step], part: SeriesSubset) -> dict[str, float]:
    """Return the root mean squared error of each baseline on the values of ``part``."""
    windows = part.data.values.unfold(0, part.data.tau, 1)  # [N − τ + 1, τ], a view
    squares = dict.fromkeys(steps, 0.0)
    for times in part.index.cpu().split(max(1, BLOCK // part.data.tau)):
        inputs, targets = windows.index_select(0, times - part.data.tau), part.data.values[times]
        for name, step in steps.items():
            squares[name] += (step(inputs) - targets).square().sum().item()
    return {name: (total / part.size) ** 0.5 for name, total in squares.items()}
