"""The output of a classification for people: images with their predicted and true classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.text import optional, say
from d2lrun.tasks.classification import preparation
from d2lrun.tasks.classification.images import ImageDataset, ImageSubset
from d2lrun.tasks.classification.pictures import ACROSS, draw_predictions, draw_samples
from d2lrun.tasks.classification.predict import probabilities
from d2lrun.tasks.classification.tables import show_counts
from d2lrun.training.experiment import Experiment

if TYPE_CHECKING:
    from rich.console import Console

PICTURED = 1000  # images that predictions.png searches for mistakes


def prepare(data: ImageDataset, directory: RunDirectory, say: Callable[[str], None]) -> None:
    """Write classes.json: the class of each output, and how an image becomes an input."""
    preparation.write(directory, data.classes, data.preparation)


def check(data: ImageDataset, directory: RunDirectory) -> None:
    """Do nothing: the content of the images was compared before."""


def sample(experiment: Experiment[ImageDataset, ImageSubset], directory: RunDirectory, now: bool) -> None:
    """Do nothing: there are no samples."""


def describe(experiment: Experiment[ImageDataset, ImageSubset], directory: RunDirectory) -> dict[str, Any]:
    """Nothing more."""
    return {}


def draw(
    experiment: Experiment[ImageDataset, ImageSubset], directory: RunDirectory, title: str, say: Callable[[str], None]
) -> None:
    """Draw predictions.png: some images and the most confident errors, of the test set or the held-out images."""
    data, part = experiment.data, experiment.split.pictured
    index = part.index[:PICTURED]
    images, labels = part.pixels(index), part.labels[index]
    with optional(directory.predictions, say):
        guesses = probabilities(experiment.state.model, data.preparation, images, experiment.config.train.batch_size)
        draw_predictions(directory.predictions, images.cpu(), labels.cpu(), guesses.cpu(), data.classes)


def show(console: Console, data: ImageDataset, picture: Path) -> None:
    """Print the number of images of each class, and draw some of each, with augmentation in a second picture, too."""
    show_counts(console, data)
    draw_samples(picture, data.train_images, data.train_labels, data.classes)
    say(console, f" samples     {picture}")
    if data.augment is not None:
        labels = data.train_labels
        index = torch.cat([(labels == k).nonzero()[:ACROSS, 0] for k in range(data.outputs)])
        second = picture.with_name(f"{picture.stem}-augmented.png")
        draw_samples(second, data.train_part().augmented_pixels(index), labels[index], data.classes)
        say(console, f" augmented   {second}")
