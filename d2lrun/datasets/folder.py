"""The user's own pictures: one subfolder per class, or such folders in train/, val/ and test/.

N pictures, C channels, H height, W width.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from d2lrun.tasks.classification.photos import FINER, fit_image, read_image
from d2lrun.tasks.classification.picture_files import class_name, is_picture, others_left_out, pictures_in

PARTS = {
    **{"train": "train", "training": "train", "test": "test", "testing": "test"},
    **{"val": "val", "valid": "val", "validation": "val"},
}
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
    found, unread = hashed(listed(root, say))
    if not unread:
        refuse_classes(root, found)
    parts = divided(found, test_fraction)
    shape = colours, size, size
    images, failed = decoded(of(parts), shape, framing, decoder(of(parts), shape, framing), say, progress)
    if unread or failed:
        report_unreadable(root, [*unread, *failed.values()], len(found) + len(unread), skip_unreadable, say)
    if failed:
        place = {picture: number for number, picture in enumerate(of(parts)) if number not in failed}
        found = [picture for picture in found if picture in place]
    refuse_classes(root, found)
    if failed:  # the parts are those of a folder without these files
        parts, all_images = divided(found, test_fraction), images
        numbers = [place[picture] for picture in of(parts)]
        images, _ = decoded(of(parts), shape, framing, lambda number: all_images[numbers[number]], say, progress)
    report_duplicates(root, parts, say)
    if parts["val"]:
        say(f"{root}: the folder for validation is used with validation=holdout, in place of validation.fraction")
    return dataset(root, parts, images, framing)


def of(parts: Parts) -> list[Picture]:
    """Return the pictures of all parts, one after another."""
    return [picture for part in parts.values() for picture in part]


def decoder(pictures: Sequence[Picture], shape: tuple[int, int, int], framing: str) -> pixels.Decode:
    """Return the function that decodes one of the pictures, uint8 [C, H, W]; it raises ValueError."""

    def decode(number: int) -> np.ndarray:
        try:
            return fit_image(read_image(pictures[number].path, shape[0], max(shape[1:])), shape, framing).numpy()
        except Refused as error:
            raise ValueError(str(error)) from None

    return decode


def decoded(
    pictures: Sequence[Picture],
    shape: tuple[int, int, int],
    framing: str,
    decode: pixels.Decode,
    say: Say,
    progress: Progress | None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Return the pictures as uint8 [N, C, H, W], perhaps from the cache, and the reasons of the unreadable."""
    key = fingerprint(str((shape, framing, FINER)), *(picture.sha256 for picture in pictures))
    return pixels.decoded(key, (len(pictures), *shape), decode, say, progress)


def report_unreadable(root: Path, reasons: Sequence[str], count: int, skip: bool, say: Say) -> None:
    """Say how many of the files cannot be read; unless ``skip``, raise Refused that names them."""
    if skip:
        say(f"{root}: left out {counted(len(reasons), 'file')} that cannot be read as a picture")
        return
    shown = "".join(f"\n  {reason}" for reason in reasons[:NAMED])
    more = f"\n  and {len(reasons) - NAMED:,} more" if len(reasons) > NAMED else ""
    what = f"{root}: {counted(len(reasons), 'file')} of {count:,} cannot be read as a picture"
    raise Refused(f"{what}{shown}{more}", "repair or remove them, or give dataset.skip_unreadable=true")


def listed(root: Path, say: Say) -> list[Picture]:
    """Return the pictures below ``root``, sorted by part, class and name; says what is left out. Raises Refused."""
    if not root.is_dir():
        raise Refused(f"dataset.path={root}: {'no folder' if root.exists() else 'no such folder'}", HINT)
    places = parts_of(root, say) or {"": root}
    found: list[Picture] = []
    others: Counter[str] = Counter()
    loose: list[Path] = []
    for part, place in sorted(places.items()):
        for folder in folders(place):
            pictures = list(pictures_in(folder, others))
            found += [Picture(each, class_name(folder.name), part) for each in pictures]
            if not pictures:
                say(f"{folder} has no pictures")
    for place in {root, *places.values()}:
        loose += [each for each in inside(place) if not each.is_dir() and is_picture(each, others)]
    if loose:
        say(f"{root}: left out {counted(len(loose), 'picture')} in no folder of a class, such as {loose[0]}")
    if others:
        say(f"{root}: {others_left_out(others)}")
    if not found:
        raise Refused(f"{root}: no picture in a subfolder of it", HINT)
    return found


def parts_of(root: Path, say: Say) -> dict[str, Path]:
    """Return the folder of each part: train, and if they exist, val and test; empty if ``root`` has no parts.

    A folder with one of these names and without subfolders is a class. Raises Refused if a part has several folders,
    or if there are others and none that trains.
    """
    top = folders(root)
    named = [(PARTS[each.name.lower()], each) for each in top if each.name.lower() in PARTS and folders(each)]
    if "train" not in dict(named):
        if named and len(named) == len(top):
            raise Refused(f"{root}: {', '.join(each.name for _, each in named)} without a folder train", HINT)
        return {}
    for part, count in Counter(part for part, _ in named).items():
        if count > 1:
            same = ", ".join(each.name for each_part, each in named if each_part == part)
            raise Refused(f"{root}: several folders for the part {part}: {same}", "keep one of them")
    if extra := [each.name for each in top if each not in dict(named).values()]:
        say(f"{root}: left out the folders beside those of the parts: {', '.join(extra[:NAMED])}")
    return dict(named)


def folders(root: Path) -> list[Path]:
    """Return the subfolders that are not hidden, sorted by name."""
    return [each for each in inside(root) if each.is_dir() and not each.name.startswith(".")]


def inside(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted by name; raises Refused if it cannot be read."""
    try:
        return sorted(folder.iterdir(), key=str)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror or error}", "make it readable, or remove it") from None


def hashed(pictures: Sequence[Picture]) -> tuple[list[Picture], list[str]]:
    """Return the pictures with their sha256, and the reason of each file that cannot be read.

    They are sorted by part, class and sha256: names of files do not matter.
    """

    def known(picture: Picture) -> Picture | str:
        """Read one file."""
        try:
            return replace(picture, sha256=sha256(picture.path))
        except OSError as error:
            return f"{picture.path}: {error.strerror or error}"

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        read = list(pool.map(known, pictures))
    good = [each for each in read if isinstance(each, Picture)]
    good.sort(key=lambda each: (each.part, each.name, each.sha256, str(each.path)))
    return good, [each for each in read if isinstance(each, str)]


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
    """Return the pictures of each part: as the folders say, but without a folder test/ ``test_fraction`` of those that
    train, in each class, are the test part.

    Equal pictures of a class stay together. A class keeps a picture to train, if it has two different ones.
    """
    parts: Parts = {"train": [], "val": [], "test": []}
    tested = any(picture.part == "test" for picture in pictures)
    for (part, _), members in groupby(pictures, key=lambda each: (each.part or "train", each.name)):
        group = list(members)
        wanted = round(len(group) * test_fraction) if part == "train" and not tested else 0
        bounds = [place for place in range(len(group)) if not place or group[place].sha256 != group[place - 1].sha256]
        cut = max((place for place in bounds if place <= wanted), default=0)
        parts["test"] += group[:cut]
        parts[part] += group[cut:]
    return parts


def report_duplicates(root: Path, parts: Parts, say: Say) -> None:
    """Say how many pictures are the same as one in another part, as another one that trains, or of another class."""
    first: dict[str, Picture] = {}
    for picture in of(parts):  # those that train come first
        first.setdefault(picture.sha256, picture)
    train = {picture.sha256 for picture in parts["train"]}
    same = {name: [each for each in part if each.sha256 in train] for name, part in parts.items()}
    found = {
        "several times in the training part": [each for each in same["train"] if first[each.sha256] is not each],
        "in both the training and the validation part": same["val"],
        "in both the training and the test part": same["test"],
        "in several classes": [each for each in of(parts) if first[each.sha256].name != each.name],
    }
    for what, pictures in found.items():
        if pictures:
            pair = f"{pictures[0].path} and {first[pictures[0].sha256].path}"
            say(f"{root}: {what}: {counted(len(pictures), 'picture')}, such as {pair}")


def firsts(pictures: Sequence[Picture]) -> torch.Tensor | None:
    """Return the number of the first picture with the same content, int64 [N]; None if all pictures differ."""
    first: dict[str, int] = {}
    found = [first.setdefault(picture.sha256, number) for number, picture in enumerate(pictures)]
    return torch.tensor(found) if len(first) < len(found) else None


def pieces(parts: Parts) -> dict[str, str]:
    """Return the number of pictures in each class of each part, and their fingerprint, for messages."""
    found: dict[str, list[str]] = {}
    for picture in of(parts):
        found.setdefault("/".join(filter(None, (picture.part, picture.name))), []).append(picture.sha256)
    return {
        name: f"{counted(len(sums), 'picture')} ({fingerprint(*sorted(sums))})" for name, sums in sorted(found.items())
    }


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
        contents=(Content(str(root), content, pieces(parts)),),
        pools={"train": fingerprint(*names["train"], *names["val"]), "test": fingerprint(*names["test"])},
        framing=framing,
        photos=True,
        mapped=images.nbytes > LARGEST,
        own_val=len(parts["val"]),
        same=firsts(train),
    )
