"""The output of a regression for people: the learned function, or predicted and true numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import optional
from d2lrun.tasks.regression.pictures import draw_agreement, draw_line
from d2lrun.tasks.regression.predict import predictions, write_submission
from d2lrun.tasks.regression.table import Line, TableDataset, TableSubset
from d2lrun.tasks.regression.tables import show_table
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console


def prepare(data: TableDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Do nothing: a run has no other record of its rows."""


def check(data: TableDataset, directory: RunDirectory) -> None:
    """Do nothing: the content of the rows was compared before."""


def sample(experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory, now: bool) -> None:
    """Do nothing: there are no samples."""


def describe(experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return no more entries; if the test rows have no targets, write their predictions to submission.csv."""
    data = experiment.split.train.data  # prepared as in training
    if data.test_targets is None:
        write_submission(directory.submission, experiment.state.model, data, experiment.config.train.batch_size)
    return {}


def draw(
    experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Draw predictions.png: the learned function of one variable, or else predicted and true numbers.

    The numbers are from the validation part, else from the test set, else (without test targets) from training.
    """
    with optional(directory.predictions, say):
        if experiment.data.line is None:
            draw_rows(experiment, directory.predictions, title)
        else:
            draw_function(experiment, experiment.data.line, directory.predictions, title)


def draw_function(experiment: Experiment[TableDataset, TableSubset], line: Line, path: Path, title: str) -> None:
    """Draw the learned function over its one variable."""
    size = experiment.config.train.batch_size
    learned = predictions(experiment.state.model, line.features.to(experiment.state.device), size)
    points = line.points, experiment.data.train_targets.cpu()[:, 0]
    draw_line(path, points, line.grid, line.truth, learned, title)


def draw_rows(experiment: Experiment[TableDataset, TableSubset], path: Path, title: str) -> None:
    """Draw predicted and true numbers."""
    data, split, size = experiment.data, experiment.split, experiment.config.train.batch_size
    parts = {"validation rows": split.val, "test rows": split.test, "training rows": split.train}
    name, part = next((name, part) for name, part in parts.items() if part is not None)
    loaded = [part.load(batch) for batch in chain.from_iterable(part.ordered(size))]
    truth = torch.cat([targets[:, 0] for _, targets in loaded]).cpu()
    predicted = predictions(experiment.state.model, torch.cat([features for features, _ in loaded]), size)
    draw_agreement(path, truth, predicted, data.target, f"{title}: {name}", data.logarithmic)


def show(console: Console, data: TableDataset, picture: Path) -> None:
    """Print the rows and fields of the dataset; there is no picture."""
    show_table(console, data)
