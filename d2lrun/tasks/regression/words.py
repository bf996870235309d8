"""``d2lrun predict RUN``: predict the numbers of test rows without targets. Functions import torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.config.tables import DATASETS
from d2lrun.errors import Refused
from d2lrun.tasks import Question, Word

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.regression.table import TableDataset


def predict(question: Question) -> None:
    """Print the first predictions and write all to submission.csv. Raises Refused if every row has a target."""
    directory, config = question.directory, question.config
    if not DATASETS[config.dataset.name].unlabelled:
        raise Refused(
            f"{directory.path}: each row of {config.dataset.name} has a target, so there is none to predict",
            f"d2lrun evaluate {directory.path} measures it on the test rows",
        )
    from d2lrun.report.text import say
    from d2lrun.tasks.regression.predict import write_submission
    from d2lrun.tasks.regression.tables import show_numbers

    data: TableDataset
    data, model = question.load()
    data = data.split(config.validation, config.seed).train.data  # prepared as in training
    show_numbers(question.console, data, write_submission(directory.submission, model, data, config.train.batch_size))
    say(question.console, f" every prediction: {directory.submission}")


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``predict`` if the test rows have no targets, else of ``evaluate``."""
    return ["predict" if DATASETS[config.dataset.name].unlabelled else "evaluate", directory]


WORDS = {"predict": Word("", "the numbers of test rows without targets, to submission.csv", {}, predict)}
