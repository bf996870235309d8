"""The user's own text files, in any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Progress, Say
from d2lrun.disk.texts import joined, names, read_files
from d2lrun.tasks.language_model.build import build
from d2lrun.tasks.language_model.stream import TextDataset


def load(
    path: str | Sequence[str] | None,
    encoding: str,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    **preparation: Any,
) -> TextDataset:
    """Return the dataset on the CPU; ``preparation`` is passed to ``build``. Raises Refused."""
    found = read_files("text", path, encoding)
    contents = [Content(file.origin, file.sha256) for file in found]
    return build(
        "text",
        joined(found, encoding),
        names(found),
        contents=contents,
        read=lambda: read(path, encoding)[0],
        **preparation,
    )


def read(
    path: str | Sequence[str] | None, encoding: str, say: Say = lambda line: None, progress: Progress | None = None
) -> tuple[str, str]:
    """Return the text of all files, concatenated, and their names; raises Refused that names the file and its error."""
    found = read_files("text", path, encoding)
    return joined(found, encoding), names(found)
