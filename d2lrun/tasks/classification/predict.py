"""Predict the classes of a test set or of image files. N images, K classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from d2lrun.disk import files
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.photos import fit_image, inverts, read_image, remark
from d2lrun.tasks.classification.preparation import Preparation
from d2lrun.training.evaluate import over_batches


def probabilities(model: nn.Module, prepare: Preparation, images: Tensor, size: int) -> Tensor:
    """Return the probability of each class [N, K] for images uint8 [N, C, H, W], in batches of ``size``."""
    return over_batches(model, map(prepare, images.split(size))).softmax(dim=1)


def predict_test(data: ImageDataset, model: nn.Module, size: int, path: Path) -> Tensor:
    """Return the confusion counts [true, predicted] of the test set; write every prediction to the csv ``path``."""
    if (part := data.part("test")) is None:
        raise Refused(f"{data.name} has no test images", "give image files: d2lrun predict RUN IMAGE…")
    inputs = (inputs for (batch,) in part.ordered(size) for inputs, _ in [part.load(batch)])
    certainty, predicted = over_batches(model, inputs).softmax(dim=1).cpu().max(dim=1)  # [N], [N]
    labels = data.test_labels.cpu()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "label", "predicted", "probability"))
    for index, row in enumerate(zip(labels.tolist(), predicted.tolist(), certainty.tolist(), strict=True)):
        writer.writerow((index, data.classes[row[0]], data.classes[row[1]], f"{row[2]:.6f}"))
    files.write_atomic(path, text.getvalue())
    count = data.outputs
    return (labels * count + predicted).bincount(minlength=count * count).view(count, count)


class Stored(NamedTuple):
    """An image file as the network's images are stored, and how it was read."""

    pixels: Tensor  # uint8 [C, H, W]
    inverted: bool
    remark: str  # empty if there is nothing to say


def stored(path: Path, prepare: Preparation, invert: str) -> Stored:
    """Read an image file; raises Refused.

    ``invert`` is yes, no, or auto: auto makes a light background dark if the training images have a dark one.
    """
    return stored_image(read_image(path, prepare.stored[0], max(prepare.stored[1:])), prepare, invert)


def stored_image(image: Any, prepare: Preparation, invert: str) -> Stored:
    """Return an upright PIL image as ``stored`` does."""
    from PIL import ImageOps

    inverted = inverts(image, invert, prepare.dark)
    pixels = fit_image(ImageOps.invert(image) if inverted else image, prepare.stored, prepare.framing)
    return Stored(pixels, inverted, remark(image, inverted))


def guesses(
    model: nn.Module, prepare: Preparation, images: Tensor, size: int, top: int
) -> Iterator[tuple[list[int], list[float]]]:
    """Yield for each image uint8 [N, C, H, W] its ``top`` classes and their probabilities, the most probable first."""
    device = next((parameter.device for parameter in model.parameters()), None)
    found = probabilities(model, prepare, images.to(device), size)  # [N, K]
    certainty, ranked = found.topk(min(top, found.shape[1]), dim=1)
    return zip(ranked.tolist(), certainty.tolist(), strict=True)


def predict_images(
    model: nn.Module, classes: Sequence[str], prepare: Preparation, size: int, images: Sequence[Stored], top: int
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return for each image a remark on how it was read, and its ``top`` classes with probabilities."""
    rows = guesses(model, prepare, torch.stack([image.pixels for image in images]), size, top)
    return [
        (image.remark, [(classes[k], p) for k, p in zip(best, sure)])
        for image, (best, sure) in zip(images, rows, strict=True)
    ]
