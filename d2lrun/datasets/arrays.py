"""The user's own images as arrays in one file of NumPy's: the names of MedMNIST, or of Keras.

train_images, train_labels and, if there are any, val_images, val_labels, test_images, test_labels; or x_train, y_train
and so on; ``classes`` has the names of the classes. N images, C channels, H height, W width.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from d2lrun.counts import counted
from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.locate import Found, Progress, Say
from d2lrun.disk.texts import read_files
from d2lrun.errors import Refused
from d2lrun.tasks.classification.arrays import as_pixels
from d2lrun.tasks.classification.augment import GREY
from d2lrun.tasks.classification.images import ImageDataset

PARTS = ("train", "val", "test")
NAMES = {part: ((f"{part}_images", f"{part}_labels"), (f"x_{part}", f"y_{part}")) for part in PARTS}
SHOWN = 10  # most classes in a message
LARGEST = 1 << 34  # bytes of the arrays
WANTED = "wanted: a file of numpy.savez with train_images and train_labels"


def load(
    path: str | None,
    colours: int | None,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the dataset on the CPU; raises Refused."""
    [found] = read_files("arrays", path, "utf-8")
    arrays = read(found)
    parts = {part: pair for part in PARTS if (pair := pair_of(found, arrays, part))}
    if "train" not in parts:
        raise Refused(f"{found.origin}: no train_images and train_labels (it has {', '.join(arrays)})", WANTED)
    pixels = {
        part: coloured(as_pixels(images, f"{found.origin}: {part}"), colours) for part, (images, _) in parts.items()
    }
    shapes = {part: tuple(each.shape[1:]) for part, each in pixels.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{part} {' × '.join(map(str, shape))}" for part, shape in shapes.items())
        raise Refused(f"{found.origin}: images of different shapes (C × H × W): {listed}", "give images of one shape")
    classes = classes_of(found, arrays, parts["train"][1])
    labels = {part: numbers(found, part, each, classes, "classes" in arrays) for part, (_, each) in parts.items()}
    kept = [part for part in ("train", "val") if part in parts]
    content = fingerprint(*(part for name in sorted(arrays) for part in (name, arrays[name])))
    return ImageDataset(
        "arrays",
        classes,
        torch.cat([pixels[part] for part in kept]),
        torch.cat([labels[part] for part in kept]),
        pixels.get("test", pixels["train"][:0]),
        labels.get("test", labels["train"][:0]),
        source=found.origin,
        contents=(Content(found.origin, content),),
        photos=shapes["train"][0] != 1,
        own_val=len(labels.get("val", ())),
    )


def read(found: Found) -> dict[str, np.ndarray]:
    """Return the arrays of a file by their names; nothing in it is run. Raises Refused."""
    try:
        with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
            if (size := sum(member.file_size for member in archive.infolist())) > LARGEST:
                raise Refused(f"{found.origin}: arrays of {counted(size, 'byte')}", f"wanted at most {LARGEST:,}")
        with np.load(io.BytesIO(found.content)) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Refused(f"{found.origin} is not a file of arrays that can be read: {error}", WANTED) from error


def pair_of(found: Found, arrays: dict[str, np.ndarray], part: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the images and the labels [N] of a part, or None; raises Refused if one of the two is missing."""
    for names in NAMES[part]:
        there = [name for name in names if name in arrays]
        if len(there) == 1:
            raise Refused(f"{found.origin}: {there[0]} without {(set(names) - set(there)).pop()}", WANTED)
        if there:
            images, labels = (arrays[name] for name in names)
            labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
            if labels.ndim != 1 or len(labels) != len(images):
                given = f"{there[1]} of the shape {list(labels.shape)}, and {counted(len(images), 'image')}"
                raise Refused(f"{found.origin}: {given}", "give one label for each image")
            return images, labels
    return None


def classes_of(found: Found, arrays: dict[str, np.ndarray], labels: np.ndarray) -> tuple[str, ...]:
    """Return the names of the classes: those of the file, or else the labels in order; raises Refused."""
    if labels.dtype.kind not in "iubUS":
        hint = "give whole numbers or texts"
        raise Refused(f"{found.origin}: labels of the type {labels.dtype}, wanted a class for each image", hint)
    names = tuple(map(str, arrays.get("classes", np.unique(labels)).tolist()))
    if len(names) < 2 or len(set(names)) < len(names):
        count = counted(len(set(names)), "class", "classes")
        raise Refused(f"{found.origin}: {count}: {', '.join(names[:3])}", "wanted at least two, each once")
    return names


def numbers(found: Found, part: str, labels: np.ndarray, classes: Sequence[str], named: bool) -> Tensor:
    """Return labels as places in ``classes``, int64 [N]; raises Refused for a label that is none.

    ``named`` if the file names the classes: then whole numbers are places.
    """
    places: dict[object, int] = {name: place for place, name in enumerate(classes)}
    if named and labels.dtype.kind in "iub":
        places = {place: place for place in range(len(classes))}
        given: list[object] = [int(each) for each in labels.tolist()]
    else:
        given = [str(each) for each in labels.tolist()]
    if strange := [each for each in given if each not in places]:
        have = ", ".join(map(str, [*places][:SHOWN]))
        raise Refused(
            f"{found.origin}: {part}: the label {strange[0]} is no class (have: {have})", "correct the labels"
        )
    return torch.tensor([places[each] for each in given], dtype=torch.int64)


def coloured(pixels: Tensor, colours: int | None) -> Tensor:
    """Return images uint8 [N, C, H, W] with so many channels; None: as they are."""
    if colours is None or colours == pixels.shape[1]:
        return pixels
    if colours == 3:
        return pixels.expand(-1, 3, -1, -1).contiguous()
    return (pixels.float() * torch.tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True).round().to(torch.uint8)
