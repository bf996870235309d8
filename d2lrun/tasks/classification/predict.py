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
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.photos import fit_image, remark
from d2lrun.training.evaluate import over_batches


def probabilities(model: nn.Module, data: ImageDataset, images: Tensor, size: int) -> Tensor:
    """Return the probability of each class [N, K] for images uint8 [N, C, H, W], in batches of ``size``."""
    return over_batches(model, map(data.prepared, images.split(size))).softmax(dim=1)


def predict_test(data: ImageDataset, model: nn.Module, size: int, path: Path) -> Tensor:
    """Return the confusion counts [true, predicted] of the test set; write every prediction to the csv ``path``."""
    guesses = probabilities(model, data, data.test_images, size).cpu()  # [N, K]
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
    data: ImageDataset, model: nn.Module, size: int, pixels: Sequence[Any], top: int, invert: str
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return for each grey PIL image a remark on how it was read, and its ``top`` classes with probabilities.

    The most probable class is first. ``invert`` is yes, no, or auto: auto makes a light background dark.
    """
    channels, height, width = data.train_images.shape[1:]  # the stored size of the training images
    images = torch.stack([fit_image(image, (channels, height, width), invert) for image in pixels]).to(
        data.train_images.device
    )
    certainty, ranked = probabilities(model, data, images, size).topk(min(top, data.outputs), dim=1)
    remarks = [remark(image, invert) for image in pixels]
    rows = zip(remarks, ranked.tolist(), certainty.tolist(), strict=True)
    return [(said, [(data.classes[k], p) for k, p in zip(best, sure)]) for said, best, sure in rows]
