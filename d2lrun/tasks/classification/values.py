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
from d2lrun.tasks.classification.photos import fit_image, upright
from d2lrun.tasks.classification.predict import probabilities, stored, stored_image
from d2lrun.tasks.classification.preparation import Preparation
from d2lrun.tasks.classification.words import recorded
from d2lrun.training.evaluate import over_batches

KINDS = "paths, PIL images, or an array or tensor [n, H, W], [n, C, H, W] or [n, H, W, C], uint8 or from 0 to 1"


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
    if isinstance(images, (list, tuple)) and not all(hasattr(image, "shape") for image in images):
        found = [one_stored(image, prepare, invert) for image in images]
        return torch.stack(found) if found else torch.empty(0, *prepare.stored, dtype=torch.uint8)
    return arrays(images, prepare)


def one_stored(image: Any, prepare: Preparation, invert: str) -> Tensor:
    """Return a file or a PIL image as it is stored, uint8 [C, H, W]; raises Refused."""
    if isinstance(image, (str, os.PathLike)):
        return stored(Path(image).expanduser(), prepare, invert).pixels
    if hasattr(image, "convert"):
        return stored_image(upright(image, prepare.stored[0]), prepare, invert).pixels
    raise Refused(f"an image of the type {type(image).__name__}", f"give {KINDS}")


def arrays(images: Any, prepare: Preparation) -> Tensor:
    """Return arrays of pixels as images are stored, uint8 [n, C, H, W]; raises Refused for other shapes or values."""
    try:
        pixels = torch.stack([torch.as_tensor(image) for image in images]).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise Refused(f"images that are no array: {error}", f"give {KINDS}") from error
    channels, *sides = prepare.stored
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)  # [n, 1, H, W]
    if pixels.ndim == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)  # [n, C, H, W]
    if pixels.ndim != 4 or pixels.shape[1] not in (1, channels):
        raise Refused(
            f"images of the shape {[*pixels.shape]}; the run's have {channels} × {sides[0]} × {sides[1]} pixels",
            f"give {KINDS}",
        )
    pixels = eight_bits(pixels).expand(-1, channels, -1, -1)
    if [*pixels.shape[2:]] == sides:
        return pixels
    from PIL import Image

    def fitted(image: Tensor) -> Tensor:
        array = image.permute(1, 2, 0).numpy()  # [H, W, C]
        return fit_image(Image.fromarray(array[..., 0] if channels == 1 else array), prepare.stored, prepare.framing)

    return torch.stack([fitted(image) for image in pixels])


def eight_bits(pixels: Tensor) -> Tensor:
    """Return pixels as uint8: numbers with a point are from 0 to 1, others from 0 to 255. Raises Refused."""
    if pixels.dtype == torch.uint8:
        return pixels
    most = 1 if pixels.is_floating_point() else 255
    if not bool(((pixels >= 0) & (pixels <= most)).all()):
        low, high = pixels.min().item(), pixels.max().item()
        hint = "give pixels before they are normalised: the run does it itself"
        raise Refused(f"pixels from {low:g} to {high:g}, wanted 0 to {most}", hint)
    return (pixels * 255).round().to(torch.uint8) if most == 1 else pixels.to(torch.uint8)
