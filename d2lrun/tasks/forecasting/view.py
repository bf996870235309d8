"""The output of a forecast for people: errors by steps ahead, beside the baselines, and the predicted series."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.hints import enumerated
from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import measured, optional
from d2lrun.tasks.forecasting.baselines import baselines_of, one_step_errors
from d2lrun.tasks.forecasting.pictures import draw_forecasts, draw_series
from d2lrun.tasks.forecasting.predict import Forecasts, errors, errors_everywhere, forecast, step_of
from d2lrun.tasks.forecasting.series import SeriesDataset, SeriesSubset
from d2lrun.tasks.forecasting.tables import show_series
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console

IN_TIME = "the series is cut in time: each fold trains on all values before those that it validates; "
IN_TIME += "validation.shuffle and validation.stratify change nothing"


def prepare(data: SeriesDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Report what a reader of the file should know, such as gaps in time."""
    for remark in data.remarks:
        say(remark)


def check(data: SeriesDataset, directory: RunDirectory) -> None:
    """Do nothing: the content of the series was compared before."""


def sample(experiment: Experiment[SeriesDataset, SeriesSubset], directory: RunDirectory, now: bool) -> None:
    """Do nothing: there are no samples."""


def describe(experiment: Experiment[SeriesDataset, SeriesSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return the errors of the baselines, the errors by steps ahead, and remarks on both."""
    split, validation = experiment.split, experiment.config.validation
    name, part = ("val", split.val) if split.val else ("test", split.test)
    assert part is not None, "a series has values to validate or to test"
    baselines = one_step_errors(baselines_of(split.train), part)
    own = one_step_errors({"model": own_step(experiment)}, part)["model"]
    worse = [f"{other} ({measured(error)})" for other, error in baselines.items() if own >= error]
    note = f"{name} rmse {measured(own)} is no better than {enumerated(worse)}" if worse else None
    note = IN_TIME if validation.name == "kfold" else note
    return {"baselines": baselines, "table": steps_table(experiment), "note": note}


def steps_table(experiment: Experiment[SeriesDataset, SeriesSubset]) -> dict[str, Any]:
    """Return the root mean squared error by steps ahead: of the model and the baselines, on the values pictured.

    Two more columns are the book's: of all values up to there, and of these to the series without its noise. A series
    is counted from 0.
    """
    part, data = experiment.split.pictured, experiment.data
    steps = {"model": own_step(experiment), **baselines_of(experiment.split.train)}
    found = {name: forecast(step, part) for name, step in steps.items()}
    model = found["model"]
    columns = {name: errors(each, data.values) for name, each in found.items()}
    columns["everywhere"] = errors_everywhere(model, data.values)
    if data.signal is not None:
        columns["to signal"] = errors_everywhere(model, data.signal)
    return {
        "title": f"rmse by steps ahead, of the values {model.begin:,} to {model.end - 1:,}; "
        f"everywhere: of the model, of the values {model.first:,} to {model.end - 1:,}",
        "heads": ["steps", *(name.removesuffix(" autoregression") for name in columns)],
        "rows": [[k, *(column[k] for column in columns.values())] for k in model.ahead],
    }


def own_step(experiment: Experiment[SeriesDataset, SeriesSubset]) -> Any:
    """Return the one-step prediction of the trained model."""
    state, scale = experiment.state, experiment.split.train.scale
    return step_of(state.model, scale, state.device, experiment.config.train.batch_size)


def draw(
    experiment: Experiment[SeriesDataset, SeriesSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Draw predictions.png: one step ahead, the free run, and several steps ahead (book 8.1)."""
    with optional(directory.predictions, say):
        found: Forecasts = forecast(own_step(experiment), experiment.split.pictured)
        draw_forecasts(directory.predictions, experiment.data, found, title)


def show(console: Console, data: SeriesDataset, picture: Path) -> None:
    """Print the counts of the series, and draw it with its parts."""
    show_series(console, data, picture)
    draw_series(picture, data)
