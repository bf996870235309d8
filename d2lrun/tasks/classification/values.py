"""``predict`` from Python. n images, C channels, H height, W width, K classes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from d2lrun.errors import Refused
from d2lrun.tasks import Classes, Question
from d2lrun.tasks.classification import picture_files
from d2lrun.tasks.classification.arrays import WANTED, as_pixels
from d2lrun.tasks.classification.photos import fit_image, flattened, upright
from d2lrun.tasks.classification.predict import probabilities, stored, stored_image
from d2lrun.tasks.classification.preparation import Preparation
from d2lrun.tasks.classification.words import recorded
from d2lrun.training.evaluate import over_batches

KINDS = f"paths, PIL images, or {WANTED}"


def predict(question: Question, images: Any) -> Classes:
    """Return the classes of images, or else of the test set; raises Refused."""
    size = question.config.train.batch_size
    if images is None:
        data, model = question.load()
        if (part := data.part("test")) is None:
            raise Refused(f"{data.name} has no test images", "give images: run.predict(images)")
        batches = (part.load(batch)[0] for (batch,) in part.ordered(size))
        return Classes.of(over_batches(model, batches).softmax(dim=1), data.classes)
    classes, prepare, model = recorded(question, lambda prepare: None)
    pixels = as_stored(images, prepare, question.options["invert"])
    device = next((parameter.device for parameter in model.parameters()), None)
    return Classes.of(probabilities(model, prepare, pixels.to(device), size), classes)


def as_stored(images: Any, prepare: Preparation, invert: str) -> Tensor:
    """Return images of any kind as they are stored, uint8 [n, C, H, W]; raises Refused."""
    if isinstance(images, (str, os.PathLike)):
        images = [picture.path for picture in picture_files.found([os.fspath(images)], lambda line: None)]
    elif hasattr(images, "convert"):
        images = [images]
    if isinstance(images, (list, tuple)) and not (images and all(hasattr(image, "shape") for image in images)):
        found = [one_stored(image, prepare, invert) for image in images]
        return torch.stack(found) if found else torch.empty(0, *prepare.stored, dtype=torch.uint8)
    return arrays(images, prepare)


def one_stored(image: Any, prepare: Preparation, invert: str) -> Tensor:
    """Return a file or a PIL image as it is stored, uint8 [C, H, W]; raises Refused."""
    if isinstance(image, (str, os.PathLike)):
        return stored(Path(image).expanduser(), prepare, invert).pixels
    if hasattr(image, "convert"):
        return stored_image(flattened(upright(image), prepare.stored[0]), prepare, invert).pixels
    raise Refused(f"an image of the type {type(image).__name__}", f"give {KINDS}")


def arrays(images: Any, prepare: Preparation) -> Tensor:
    """Return arrays of pixels as images are stored, uint8 [n, C, H, W]; raises Refused for other shapes or values."""
    pixels = as_pixels(images)
    channels, *sides = prepare.stored
    if pixels.shape[1] not in (1, channels):
        raise Refused("images in colour, but the run's are grey", "give grey images, [n, H, W]")
    pixels = pixels.expand(-1, channels, -1, -1)
    if [*pixels.shape[2:]] == sides:
        return pixels
    from PIL import Image

    def fitted(image: Tensor) -> Tensor:
        array = image.permute(1, 2, 0).numpy()  # [H, W, C]
        return fit_image(Image.fromarray(array[..., 0] if channels == 1 else array), prepare.stored, prepare.framing)

    return torch.stack([fitted(image) for image in pixels])
