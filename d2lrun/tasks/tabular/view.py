"""The output of a regression for people: the learned function, or predicted and true numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import optional
from d2lrun.tasks.tabular import record
from d2lrun.tasks.tabular.baselines import baselines
from d2lrun.tasks.tabular.pictures import draw_agreement, draw_confused, draw_line
from d2lrun.tasks.tabular.predict import answers, confusion, predictions, write_submission
from d2lrun.tasks.tabular.table import Line, TableDataset, TableSubset
from d2lrun.tasks.tabular.tables import show_table
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console


def prepare(data: TableDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write columns.json, how the cells of a file become features, and say what is strange in the file."""
    if data.cells is not None:
        record.write(directory, data)
    for line in data.remarks:
        say(line)


def check(data: TableDataset, directory: RunDirectory) -> None:
    """Do nothing: the content of the rows was compared before."""


def sample(experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory, now: bool) -> None:
    """Do nothing: there are no samples."""


def describe(experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return the baselines of rows from a file; if test rows have no targets, write submission.csv."""
    split = experiment.split
    data = split.train.data  # prepared as in training
    if len(data.test_features) and data.test_targets is None:
        write_submission(directory.submission, experiment.state.model, data, experiment.config.train.batch_size)
    if data.cells is None:
        return {}
    part = split.val or split.test or split.train
    constant = experiment.task.floor(split.train, part)
    measured = split.val or split.test or experiment.config.validation.name != "none"
    note = None if measured else "nothing was held out: add validation=holdout or validation=kfold"
    return {"baselines": baselines(split.train, part, constant), "note": note}


def draw(
    experiment: Experiment[TableDataset, TableSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Draw predictions.png: the learned function of one variable, predicted and true numbers, or confused classes.

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
    batches = [*chain.from_iterable(part.ordered(size))]
    truth = torch.cat([part.targets[batch] for batch in batches]).cpu()
    features = torch.cat([part.load(batch)[0] for batch in batches])
    found = answers(experiment.state.model, features, size, part.data)
    if data.classes:
        draw_confused(path, confusion(truth, found.values, data.outputs), data.classes, f"{title}: {name}")
        return
    draw_agreement(path, truth[:, 0], found.values, data.target, f"{title}: {name}", data.logarithmic)


def show(console: Console, data: TableDataset, picture: Path) -> None:
    """Print the rows and fields of the dataset; there is no picture."""
    show_table(console, data)
