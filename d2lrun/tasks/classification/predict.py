"""Predict the classes of a test set or of image files. N images, K classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.disk import files
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.photos import fit_image, inverts, remark
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
    guesses = over_batches(model, inputs).softmax(dim=1).cpu()  # [N, K]
    certainty, predicted = guesses.max(dim=1)
    labels = data.test_labels.cpu()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("index", "label", "predicted", "probability"))
    for index, row in enumerate(zip(labels.tolist(), predicted.tolist(), certainty.tolist(), strict=True)):
        writer.writerow((index, data.classes[row[0]], data.classes[row[1]], f"{row[2]:.6f}"))
    files.write_atomic(path, text.getvalue())
    count = data.outputs
    return (labels * count + predicted).bincount(minlength=count * count).view(count, count)


def predict_images(
    model: nn.Module,
    classes: Sequence[str],
    prepare: Preparation,
    size: int,
    pixels: Sequence[Any],
    top: int,
    invert: str,
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return for each PIL image a remark on how it was read, and its ``top`` classes with probabilities.

    The most probable class is first. ``invert`` is yes, no, or auto: auto makes a light background dark if the training
    images have a dark one.
    """
    from PIL import ImageOps

    turned = [inverts(image, invert, prepare.dark) for image in pixels]
    chosen = [ImageOps.invert(image) if inverted else image for image, inverted in zip(pixels, turned, strict=True)]
    device = next((parameter.device for parameter in model.parameters()), None)
    images = torch.stack([fit_image(image, prepare.stored, prepare.framing) for image in chosen]).to(device)
    certainty, ranked = probabilities(model, prepare, images, size).topk(min(top, len(classes)), dim=1)
    remarks = [remark(image, inverted) for image, inverted in zip(pixels, turned, strict=True)]
    rows = zip(remarks, ranked.tolist(), certainty.tolist(), strict=True)
    return [(said, [(classes[k], p) for k, p in zip(best, sure)]) for said, best, sure in rows]
