"""Use a finished run: measure its weights again, or predict other examples."""

from __future__ import annotations

from typing import Any

from torch import nn

from d2lrun import datasets
from d2lrun.config import plugins
from d2lrun.config.keys import Config
from d2lrun.disk.locate import Say
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.runs import identity
from d2lrun.streams import complain
from d2lrun.tasks import task_of, view_of
from d2lrun.training import devices
from d2lrun.training.evaluate import evaluate, exhaust
from d2lrun.training.trained import read_weights, trained


def say_to_stderr(line: str) -> None:
    """Print where data were found to stderr, since another program may read stdout."""
    complain(f"{line}\n")


def evaluate_run(directory: RunDirectory, config: Config | None = None, say: Say = say_to_stderr) -> dict[str, float]:
    """Return the metrics of a run's weights on the test set, or else on the held-out examples; raises Refused."""
    config, data, model = load(directory, config, say)
    split = data.split(config.validation, config.seed)
    name, part = ("val", split.val) if split.test is None else ("test", split.test)
    if part is None:
        raise Refused(
            f"{directory.path}: {config.dataset.name} has no labelled test set, and nothing was held out of it",
            "train with validation=holdout",
        )
    task, size = task_of(config, data), config.train.batch_size
    return exhaust(evaluate(name, model, part, task, size)) | task.final_metrics(name, model, part, size)


def load(
    directory: RunDirectory, config: Config | None = None, say: Say = say_to_stderr
) -> tuple[Config, Any, nn.Module]:
    """Return a run's config, dataset and trained model; raises Refused if the data differ from its record.

    ``config`` is the run's config with another place of the data or another device; None for the run's own.
    """
    config = config or directory.load_config()
    for change in plugins.changes(config):
        say(change)
    directory.refuse_folds()
    tensors = read_weights(directory)
    device = devices.prepare(config.device, directory.threads())
    config = identity.locate_data(config, directory, say)
    model = trained(directory, config, *datasets.form(config), tensors)
    data = datasets.prepared(config).to(device)
    view_of(config).check(data, directory)
    return config, data, model


def check_data(directory: RunDirectory, config: Config, say: Say = say_to_stderr) -> None:
    """Raise Refused if the run has folds, or if the config names another place whose data differ."""
    directory.refuse_folds()
    if config.dataset != directory.load_config().dataset:
        identity.locate_data(config, directory, say)
