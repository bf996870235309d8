"""``d2lrun predict RUN FOLDER``: the classes of many pictures. n pictures of a chunk, C channels, H height, W width."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from d2lrun.disk import files
from d2lrun.errors import Refused
from d2lrun.tasks.classification.picture_files import Picture, class_name
from d2lrun.tasks.classification.predict import Stored, guesses, stored
from d2lrun.tasks.classification.preparation import Preparation

CHUNK = 64  # pictures that are decoded while those before them are predicted


class Guess(NamedTuple):
    """The most probable class of a picture, and the class that its folder is named after, or None."""

    picture: Picture
    name: str
    probability: float
    label: str | None


def predictions(
    model: nn.Module,
    classes: Sequence[str],
    prepare: Preparation,
    size: int,
    invert: str,
    pictures: Sequence[Picture],
    progress: Callable[[int, int], object],
) -> tuple[list[Guess], list[str], int]:
    """Return the guesses, the reason of each file that is no picture, and the number of pictures that were inverted.

    ``progress`` takes the number of pictures so far, and in all. Raises Refused for a file that the user names itself.
    """
    known, unread, inverted = [], [], 0
    names = {class_name(name): name for name in classes}

    def attempt(picture: Picture) -> Stored | Refused:
        """Return the picture as the network is given it, or the error."""
        try:
            return stored(picture.path, prepare, invert)
        except Refused as error:
            if picture.named:
                raise
            return error

    with contextlib.closing(ahead(pictures, attempt)) as chunks:
        for chunk, read in chunks:
            unread += [str(error) for error in read if isinstance(error, Refused)]
            good = [(picture, image) for picture, image in zip(chunk, read, strict=True) if isinstance(image, Stored)]
            if good:
                images = torch.stack([image.pixels for _, image in good])  # [n, C, H, W]
                best = guesses(model, prepare, images, size, 1)
                for (picture, image), (k, probability) in zip(good, best, strict=True):
                    label = next((names[name] for name in map(class_name, picture.folders) if name in names), None)
                    known.append(Guess(picture, classes[k[0]], probability[0], label))
                    inverted += image.inverted
            progress(len(known) + len(unread), len(pictures))
    return known, unread, inverted


def ahead(
    pictures: Sequence[Picture], read: Callable[[Picture], Stored | Refused]
) -> Generator[tuple[Sequence[Picture], list[Stored | Refused]], None, None]:
    """Yield chunks of pictures with what ``read`` returns for each; the next chunk is read meanwhile, by threads.

    If the generator is closed, by Ctrl-C for example, no more pictures are read.
    """
    before: tuple[Sequence[Picture], list[Future[Stored | Refused]]] | None = None
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for start in range(0, len(pictures), CHUNK):
            chunk = pictures[start : start + CHUNK]
            now = chunk, [pool.submit(read, picture) for picture in chunk]
            if before:
                yield before[0], [future.result() for future in before[1]]
            before = now
        if before:
            yield before[0], [future.result() for future in before[1]]
    finally:
        pool.shutdown(cancel_futures=True)


def confusion(known: Sequence[Guess], classes: Sequence[str]) -> Tensor:
    """Return the counts [true, predicted] of the pictures whose folder is named as a class: matched by name."""
    counts = torch.zeros(len(classes), len(classes), dtype=torch.int64)
    number = {name: k for k, name in enumerate(classes)}
    for guess in known:
        if guess.label is not None:
            counts[number[guess.label], number[guess.name]] += 1
    return counts


def write(path: Path, known: Sequence[Guess]) -> None:
    """Write a CSV of all guesses; the label is the class that a folder is named as, or empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("file", "class", "probability", "label"))
    writer.writerows((str(each.picture.path), each.name, f"{each.probability:.6f}", each.label or "") for each in known)
    files.write_atomic(path, text.getvalue().encode("utf-8", "backslashreplace"))  # names of files may be no UTF-8
