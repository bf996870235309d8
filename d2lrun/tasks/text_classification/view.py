"""The output of a classification of texts for people: what was cut, unknown or seen before, and the mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.report.text import optional, say
from d2lrun.tasks.text_classification.facts import facts_of
from d2lrun.tasks.text_classification.pictures import draw_lengths, draw_predictions
from d2lrun.tasks.text_classification.predict import predict_part
from d2lrun.tasks.text_classification.tables import show_facts
from d2lrun.tasks.text_classification.texts import LabelledSubset, LabelledTexts
from d2lrun.text import record
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console

MISTAKES = "mistakes.csv"


def prepare(data: LabelledTexts, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write vocabulary.json and say what is special; raises Refused if the run started with another vocabulary."""
    if directory.begun():
        try:
            known = record.read(directory, "tokens", "labels")
        except Refused as damage:
            say(f"{damage}; written again")
        else:
            refuse_other(data, directory, known)
    record.write(directory, data.vocabulary.tokens, labels=data.classes)
    for line in facts_of(data).remarks:
        say(line)


def check(data: LabelledTexts, directory: RunDirectory) -> None:
    """Raise Refused if vocabulary.json is damaged or of other texts."""
    refuse_other(data, directory, record.read(directory, "tokens", "labels"))


def refuse_other(data: LabelledTexts, directory: RunDirectory, known: list[list[str]]) -> None:
    """Raise Refused if the vocabulary or the classes are not the ``known`` ones."""
    if known != [data.vocabulary.tokens, [*data.classes]]:
        raise Refused(
            f"{data.name} has changed since this run: its vocabulary is no longer the one in "
            f"{directory.vocabulary_file}",
            "restore the texts, or the version of the package that splits them into words, or train the run again",
        )


def sample(experiment: Experiment[LabelledTexts, LabelledSubset], directory: RunDirectory, now: bool) -> None:
    """Do nothing: there are no samples."""


def describe(experiment: Experiment[LabelledTexts, LabelledSubset], directory: RunDirectory) -> dict[str, Any]:
    """Return a remark if texts that are measured were also trained on."""
    return {"note": note} if (note := facts_of(experiment.data).seen_before) else {}


def draw(
    experiment: Experiment[LabelledTexts, LabelledSubset],
    directory: RunDirectory,
    title: str,
    say: Callable[[str], None],
) -> None:
    """Draw predictions.png, the confusion of the classes and the surest mistakes; write all mistakes to a csv file."""
    split = experiment.split
    parts = (("test", split.test), ("held-out", split.val), ("training", split.train))
    name = next(name for name, part in parts if part is split.pictured)
    with optional(directory.predictions, say):
        predictions = predict_part(split.pictured, experiment.state.model, experiment.config.train.batch_size)
        draw_predictions(directory.predictions, predictions, f"{title}: {name} texts")
        predictions.write(directory.path / MISTAKES, predictions.mistakes)


def show(console: Console, data: LabelledTexts, picture: Path) -> None:
    """Print the counts of the texts and of their tokens, and draw their lengths."""
    whole = data.fitted(torch.arange(len(data.strata)))
    show_facts(console, whole, facts_of(whole))
    draw_lengths(picture, whole)
    say(console, f" lengths     {picture}")
