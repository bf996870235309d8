"""The picture files in folders, or with names of a pattern. Without torch, so that they are found at once."""

from __future__ import annotations

import glob
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from d2lrun.counts import counted
from d2lrun.errors import Refused

if TYPE_CHECKING:
    from d2lrun.disk.locate import Say

SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
NAMED = 10  # most kinds of files in a message
MAGIC = "*?["  # the signs of a pattern


@dataclass(frozen=True)
class Picture:
    """A file that is predicted, and the folders that it is in, below the one that the user names."""

    path: Path
    folders: tuple[str, ...] = ()
    named: bool = False  # whether the user names the file itself, so that it must be read


def is_many(word: str) -> bool:
    """Whether a word names a folder, or is a pattern of names."""
    return os.path.isdir(word) or is_pattern(word)


def is_pattern(word: str) -> bool:
    """Whether a word is a pattern of names, such as ``pics/*.png``, and no file of this name exists."""
    return any(sign in word for sign in MAGIC) and not os.path.exists(word)


def found(words: Sequence[str], say: Say) -> list[Picture]:
    """Return the pictures of files, folders and patterns, each once; says what is left out. Raises Refused."""
    pictures: dict[str, Picture] = {}
    for word in words:
        others: Counter[str] = Counter()
        each = list(below(word, others)) if is_many(word) else [Picture(Path(word), (), True)]
        if others:
            say(f"{word}: {others_left_out(others)}")
        if not each:
            what = "no file with a name of this pattern" if is_pattern(word) else "no picture in this folder"
            raise Refused(f"{word}: {what}", "give a FOLDER, image files, or a pattern in quotes such as 'pics/*.png'")
        for picture in each:
            key = os.path.realpath(picture.path)
            known = pictures.setdefault(key, picture)
            folders = known.folders or picture.folders
            pictures[key] = replace(known, folders=folders, named=known.named or picture.named)
    return list(pictures.values())


def below(word: str, others: Counter[str]) -> Iterator[Picture]:
    """Yield the pictures in a folder, or with names of a pattern, sorted; count the other files by their kind."""
    root = Path(word)
    places = [root]
    if is_pattern(word):
        places = [Path(path) for path in sorted(glob.glob(os.path.expanduser(word), recursive=True))]
        root = Path(os.path.expanduser(word))
        while any(sign in str(root) for sign in MAGIC):
            root = root.parent
    for place in places:
        inside = pictures_in(place, others) if place.is_dir() else [place] if is_picture(place, others) else []
        for path in inside:
            yield Picture(path, path.relative_to(root).parts[:-1])


def pictures_in(folder: Path, others: Counter[str]) -> Iterator[Path]:
    """Yield the pictures in a folder and the folders below it, sorted; count the other files by their kind.

    Links to folders below it are not followed, since they may lead around in a circle, but counted, too. Raises
    Refused for a folder that cannot be read.
    """

    def refuse(error: OSError) -> NoReturn:
        """Raise Refused."""
        raise Refused(f"{error.filename}: {error.strerror or error}", "make it readable, or remove it")

    for place, below, names in os.walk(folder, onerror=refuse):
        others.update("link to a folder" for name in below if os.path.islink(os.path.join(place, name)))
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if is_picture(Path(place, name), others):
                yield Path(place, name)


def class_name(folder: str) -> str:
    """Return the class that a folder is named as: equal for the forms of Unicode that look the same (é, e + ´)."""
    return unicodedata.normalize("NFC", folder)


def is_picture(path: Path, others: Counter[str]) -> bool:
    """Whether the name of a file is that of a picture; else its kind is counted."""
    suffix = path.suffix.lower()
    kind = "hidden" if path.name.startswith(".") else "" if suffix in SUFFIXES else suffix or "without a suffix"
    others.update([kind] if kind else [])
    return not kind


def others_left_out(others: Counter[str]) -> str:
    """Return, for example, 'left out 3 files (2 .txt, 1 hidden)'."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in others.most_common(NAMED))
    return f"left out {counted(others.total(), 'file')} ({kinds})"
