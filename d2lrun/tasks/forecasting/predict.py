"""Predictions of one and of several steps ahead, and the continuation of a series (book 8.1).

N values of a series, R windows, τ (tau) values of a window, K steps ahead, B batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from d2lrun.tasks.forecasting.baselines import Step
from d2lrun.tasks.forecasting.series import Scale, SeriesSubset
from d2lrun.training.evaluate import over_batches

AHEAD = (1, 4, 16, 64)  # steps, as in the book
LONGEST = 2000  # most values at the end of a series that are predicted several steps ahead and drawn


def step_of(model: nn.Module, scale: Scale, device: torch.device | str, size: int) -> Step:
    """Return the function of a model: windows [R, τ] in the units of the data -> the value after each [R].

    ``size`` is the number of windows of a batch. Both are float64 on the CPU.
    """

    def step(windows: Tensor) -> Tensor:
        batches = scale.standardised(windows).to(device).split(size)  # each [B, τ]
        return scale.original(over_batches(model, batches)[:, 0])

    return step


def steps_ahead(step: Step, values: Tensor, tau: int, ahead: int) -> Tensor:
    """Return [N − τ, τ + K]: τ observed values, then the predictions 1 to K = ``ahead`` steps ahead.

    Each is made from the τ columns before it. Row i begins at the time i of the series [N], so its column τ − 1 + k
    predicts the time i + τ − 1 + k, which is in the series for the first N − τ − k + 1 rows. The book's table has the
    first N − τ − K + 1 rows.
    """
    rows = len(values) - tau
    table = values.new_empty(rows, tau + ahead)
    table[:, :tau] = values.unfold(0, tau, 1)[:rows]
    for column in range(tau, tau + ahead):
        table[:, column] = step(table[:, column - tau : column])
    return table


def continued(step: Step, values: Tensor, tau: int, count: int) -> Tensor:
    """Return the next ``count`` values after the series [N]: each is predicted, and then read as if it were true."""
    series = torch.cat((values[len(values) - tau :], values.new_empty(count)))
    for at in range(tau, tau + count):
        series[at] = step(series[at - tau : at].unsqueeze(0))[0]
    return series[tau:]


class Forecasts(NamedTuple):
    """The predictions of the values of a part and of those before it; at most the last ``LONGEST`` values."""

    first: int  # time of the first value that is shown
    begin: int  # time of the first value of the part, at which the free run begins
    end: int  # time after the last value
    free: Tensor  # [end − begin]
    ahead: dict[int, Tensor]  # k -> the k-step predictions of the times up to ``end``

    def start(self, k: int) -> int:
        """Return the time of the first k-step prediction."""
        return self.end - len(self.ahead[k])


def forecast(step: Step, part: SeriesSubset) -> Forecasts:
    """Predict the values of ``part`` and those before it in time, one and several steps ahead, and in a free run."""
    tau, end = part.data.tau, int(part.index[-1]) + 1
    first = max(0, end - LONGEST - tau)
    begin = max(int(part.index[0]), first + tau)
    values = part.data.values[first:end]
    windows = len(values) - tau
    ahead = [k for k in AHEAD if k <= windows]
    table = steps_ahead(step, values, tau, ahead[-1])
    return Forecasts(
        first,
        begin,
        end,
        free=continued(step, values[: begin - first], tau, end - begin),
        ahead={k: table[: windows - k + 1, tau - 1 + k] for k in ahead},
    )


def errors(found: Forecasts, truth: Tensor) -> dict[int, float]:
    """Return {k: root mean squared error} of the k-step predictions for the values of the part; ``truth`` is [N]."""
    spans = {k: max(found.begin, found.start(k)) for k in found.ahead}
    return {k: rmse(found.ahead[k][start - found.start(k) :], truth[start : found.end]) for k, start in spans.items()}


def errors_everywhere(found: Forecasts, truth: Tensor) -> dict[int, float]:
    """Return the same for all shown values, with the rows of the book: those whose last prediction is in the series."""
    rows = len(found.ahead[max(found.ahead)])
    return {k: rmse(found.ahead[k][:rows], truth[found.start(k) :][:rows]) for k in found.ahead}


def rmse(predicted: Tensor, truth: Tensor) -> float:
    """Return the root mean squared error of [n] predictions."""
    return (predicted - truth).square().mean().sqrt().item()
