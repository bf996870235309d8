"""The user's own pictures: one subfolder per class, or such folders in train/, val/ and test/.

N pictures, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from d2lrun.counts import counted
from d2lrun.disk import pixels
from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.files import sha256
from d2lrun.disk.locate import Progress, Say
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.photos import fit_image, read_image
from d2lrun.tasks.classification.picture_files import others_left_out, pictures_in

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
NAMED = 10  # most files or classes in a message
LARGEST = 1 << 31  # bytes of pixels: more stay in their file, and only batches move to the device
Parts: TypeAlias = "dict[str, list[Picture]]"  # train, val and test
HINT = "wanted one subfolder per class with pictures in it, or train/ and test/ with such subfolders"


@dataclass(frozen=True)
class Picture:
    """A file, its class and its part: train, val or test; "" if the folder has no parts."""

    path: Path
    name: str  # of the class
    part: str
    sha256: str = ""


def load(
    path: str | None,
    size: int,
    colours: int,
    framing: str,
    test_fraction: float,
    skip_unreadable: bool,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> ImageDataset:
    """Return the dataset on the CPU, its pictures of ``size`` × ``size`` pixels; raises Refused that names the files.

    Without a folder test/, every class gives ``test_fraction`` of its pictures to the test set: those with the lowest
    sha256, so that it is the same on every machine.
    """
    if path is None:
        raise Refused("dataset=folder needs dataset.path", "give dataset.path=FOLDER with one subfolder per class")
    root = Path(os.path.expanduser(path))
    found = hashed(listed(root, say))
    refuse_classes(root, found)
    parts = divided(found, test_fraction)
    images, parts = read(root, parts, (colours, size, size), framing, skip_unreadable, say, progress)
    report_duplicates(root, parts, say)
    if parts["val"]:
        say(f"{root}: the folder for validation is used with validation=holdout, in place of validation.fraction")
    return dataset(root, parts, images, framing)


def read(
    root: Path,
    parts: Parts,
    shape: tuple[int, int, int],
    framing: str,
    skip: bool,
    say: Say,
    progress: Progress | None,
) -> tuple[np.ndarray, Parts]:
    """Return the pictures of all parts, one after another, as uint8 [N, C, H, W], and the parts without the unreadable.

    Raises Refused that names the unreadable files, unless ``skip``.
    """
    found = [picture for part in parts.values() for picture in part]

    def decode(number: int) -> np.ndarray:
        """Return one picture, uint8 [C, H, W]; raises ValueError."""
        try:
            return fit_image(read_image(found[number].path, shape[0]), shape, framing).numpy()
        except Refused as error:
            raise ValueError(str(error)) from None

    key = fingerprint(str((shape, framing)), *(picture.sha256 for picture in found))
    images, failed = pixels.decoded(key, (len(found), *shape), decode, say, progress)
    if not failed:
        return images, parts
    if not skip:
        reasons = "".join(f"\n  {reason}" for reason in list(failed.values())[:NAMED])
        more = f"\n  and {len(failed) - NAMED:,} more" if len(failed) > NAMED else ""
        what = f"{root}: {counted(len(failed), 'file')} of {len(found):,} cannot be read as a picture"
        raise Refused(f"{what}{reasons}{more}", "repair or remove them, or give dataset.skip_unreadable=true")
    say(f"{root}: left out {counted(len(failed), 'file')} that cannot be read as a picture")
    bad = {found[number] for number in failed}
    left = {name: [picture for picture in part if picture not in bad] for name, part in parts.items()}
    refuse_classes(root, [picture for part in left.values() for picture in part])
    return read(root, left, shape, framing, False, say, progress)


def listed(root: Path, say: Say) -> list[Picture]:
    """Return the pictures below ``root``, sorted by part, class and name; says what is left out. Raises Refused."""
    if not root.is_dir():
        raise Refused(f"dataset.path={root}: {'no folder' if root.exists() else 'no such folder'}", HINT)
    top = folders(root)
    parts = {PARTS[folder.name.lower()]: folder for folder in top if folder.name.lower() in PARTS}
    split = "train" in parts
    found: list[Picture] = []
    others: Counter[str] = Counter()
    for part, place in sorted(parts.items()) if split else [("", root)]:
        for folder in folders(place):
            pictures = list(pictures_in(folder, others))
            found += [Picture(each, folder.name, part) for each in pictures]
            if not pictures:
                say(f"{folder} has no pictures")
    if others:
        say(f"{root}: {others_left_out(others)}")
    if not found:
        raise Refused(f"{root}: no picture in a subfolder of it", HINT)
    return found


def folders(root: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name."""
    return sorted((each for each in root.iterdir() if each.is_dir() and not each.name.startswith(".")), key=str)


def hashed(pictures: Sequence[Picture]) -> list[Picture]:
    """Return the pictures with their sha256, sorted by part, class and sha256: names of files do not matter."""

    def known(picture: Picture) -> Picture:
        """Read one file; raises Refused."""
        try:
            return Picture(picture.path, picture.name, picture.part, sha256(picture.path))
        except OSError as error:
            raise Refused(f"{picture.path}: {error.strerror or error}", "make it readable, or remove it") from None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return sorted(pool.map(known, pictures), key=lambda each: (each.part, each.name, each.sha256, str(each.path)))


def refuse_classes(root: Path, pictures: Sequence[Picture]) -> None:
    """Raise Refused if there is one class only, or if a part has classes that no picture trains."""
    train = {picture.name for picture in pictures if picture.part in ("", "train")}
    if len(train) < 2:
        raise Refused(f"{root}: only one class, {', '.join(train) or 'none'}: there is nothing to tell apart", HINT)
    strange = sorted({picture.name for picture in pictures} - train)
    if strange:
        raise Refused(
            f"{root}: {counted(len(strange), 'class', 'classes')} without a picture to train: "
            f"{', '.join(strange[:NAMED])}",
            "the folders in train/ and test/ must have the same names",
        )


def divided(pictures: Sequence[Picture], test_fraction: float) -> Parts:
    """Return the pictures of each part: as the folders say, or with ``test_fraction`` of each class for the test.

    Equal pictures of a class stay together. A class keeps a picture to train, if it has two different ones.
    """
    parts: Parts = {"train": [], "val": [], "test": []}
    for _, members in groupby(pictures, key=lambda each: each.name):
        group = list(members)
        wanted = round(len(group) * test_fraction) if test_fraction else 0
        bounds = [place for place in range(len(group)) if not place or group[place].sha256 != group[place - 1].sha256]
        cut = max((place for place in bounds if place <= wanted), default=0)
        if any(picture.part for picture in group):
            for picture in group:
                parts[picture.part].append(picture)
        else:
            parts["test"] += group[:cut]
            parts["train"] += group[cut:]
    return parts


def report_duplicates(root: Path, parts: Parts, say: Say) -> None:
    """Say how many pictures of the test set, or for validation, are the same as one that trains."""
    known: dict[str, Picture] = {picture.sha256: picture for picture in parts["train"]}
    for part, what in (("val", "validation"), ("test", "test")):
        twice = [picture for picture in parts[part] if picture.sha256 in known]
        if twice:
            first = f"{twice[0].path} and {known[twice[0].sha256].path}"
            say(f"{root}: in both the training and the {what} part: {counted(len(twice), 'picture')}, such as {first}")


def dataset(root: Path, parts: Parts, images: np.ndarray, framing: str) -> ImageDataset:
    """Return the dataset of the pictures of all parts, ``images`` uint8 [N, C, H, W] in their order."""
    classes = sorted({picture.name for part in parts.values() for picture in part})
    train = [*parts["train"], *parts["val"]]
    everything = torch.from_numpy(images)
    labels = [
        torch.tensor([classes.index(picture.name) for picture in part], dtype=torch.int64)
        for part in (train, parts["test"])
    ]
    names = {name: [f"{each.name} {each.sha256}" for each in part] for name, part in parts.items()}
    content = fingerprint(*(f"{name}: {each}" for name, part in names.items() for each in part))
    return ImageDataset(
        "folder",
        tuple(classes),
        everything[: len(train)],
        labels[0],
        everything[len(train) :],
        labels[1],
        source=str(root),
        contents=(Content(str(root), content),),
        pools={"train": fingerprint(*names["train"], *names["val"]), "test": fingerprint(*names["test"])},
        framing=framing,
        photos=True,
        mapped=images.nbytes > LARGEST,
        own_val=len(parts["val"]),
    )
