"""``forecast`` from Python."""

from __future__ import annotations

from typing import Any

import torch

from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.tasks import Question
from d2lrun.tasks.forecasting.predict import continued, step_of


def forecast(question: Question, values: Any) -> list[float]:
    """Return the next values after ``values`` [N], or else after the run's series; raises Refused."""
    config = question.config
    data, model = question.load()
    series = data.values if values is None else numbers(values)
    if len(series) < data.tau:
        given = f"{counted(len(series), 'value')}, too few for a window of dataset.tau={data.tau}"
        raise Refused(given, "give more values")
    scale = data.split(config.validation, config.seed).train.scale  # as in training
    return continued(step_of(model, scale, data.device, 1), series, data.tau, int(question.options["steps"])).tolist()


def numbers(values: Any) -> torch.Tensor:
    """Return a series as float64 [N]; raises Refused."""
    try:
        series = torch.as_tensor(values if hasattr(values, "shape") else list(values), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Refused(f"a series that is no sequence of numbers: {error}", "run.forecast([1.0, 2.0, …])") from error
    if series.ndim != 1 or not bool(series.isfinite().all()):
        raise Refused(f"a series of the shape {[*series.shape]}", "give finite numbers in one dimension, in time order")
    return series
