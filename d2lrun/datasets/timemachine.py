"""The Time Machine by H. G. Wells, the book's copy (book 8.2): 3,221 lines, 32,775 words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.tasks.language_model.build import build
from d2lrun.tasks.language_model.stream import TextDataset

FILE = "timemachine.txt"
FILES = Files(
    dataset="timemachine",
    sums={FILE: "8424dbd9532ac81f7e5f0b6add90e6952baea29158309d7d1bf3884f4e12c516"},
    limit=1 << 20,  # it has 178,979 bytes
    suffix="",
    instead="give dataset=pydoc, English text that comes with Python",
)


def load(
    dir: str | None,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
    **preparation: Any,
) -> TextDataset:
    """Return the dataset on the CPU; ``preparation`` is passed to ``build``. Raises Refused."""
    text, source = read(dir, mirrors, say, progress, files)
    return build(
        "timemachine",
        text,
        source,
        contents=[Content(source, files.sums[FILE])],
        read=lambda: read(dir, mirrors, files=files)[0],
        **preparation,
    )


def read(
    dir: str | None,
    mirrors: Sequence[str],
    say: Say = lambda line: None,
    progress: Progress | None = None,
    files: Files = FILES,
) -> tuple[str, str]:
    """Return the verified text and where it was found; raises Refused that names every place."""
    found = locate(files, dir, mirrors, say, progress)[FILE]
    return found.content.decode("utf-8"), found.origin
