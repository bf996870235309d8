"""Hot dogs and other food (book 13.2): 2,000 + 800 photos in colour, in two classes; the book's archive of a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from d2lrun.datasets import folder
from d2lrun.disk.archive import unpacked
from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.classification.images import ImageDataset

ARCHIVE, INSIDE = "hotdog.zip", "hotdog"
FILES = Files(
    dataset="hotdog",
    sums={ARCHIVE: "fba480ffa8aa7e0febbb511d181409f899b9baa5"},  # the book's
    limit=1 << 30,
    archive=True,
    suffix="",
    instead="give dataset=folder dataset.path=FOLDER, for pictures of your own",
)
MEMBER = re.compile(r"hotdog/(train|test)/[\w-]{1,99}/\w[\w.-]{0,99}", re.ASCII)
CHANNELS, CLASSES = 3, 2


def load(
    dir: str | None,
    size: int,
    framing: str,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> ImageDataset:
    """Return the dataset on the CPU, its pictures of ``size`` × ``size`` pixels; raises Refused."""
    found = locate(files, dir, mirrors, say, progress)[ARCHIVE]
    place = unpacked(found, files.dataset, MEMBER, say) / INSIDE
    data = folder.load(str(place), size, CHANNELS, framing, 0.0, False, say, progress)
    contents = (Content(found.origin, found.sha256), *data.contents)
    return replace(data, name="hotdog", source=found.origin, contents=contents)


def form(config: Any) -> tuple[tuple[int, int, int], int]:
    """Return (C, H, W) and the number of classes; nothing is read."""
    side = config.resize or config.size
    return (CHANNELS, side, side), CLASSES
