"""The user's own pairs of sentences, or of questions and answers, in text files with two columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Progress, Say
from d2lrun.disk.texts import decode, names, read_files
from d2lrun.tasks.translation.pairs import PairDataset, build
from d2lrun.tasks.translation.reading import pools_of, read_pairs


def load(
    path: str | Sequence[str] | None,
    encoding: str,
    source_kind: str,
    target_kind: str,
    rule: str,
    max_pairs: int | None,
    held_out: bool,
    say: Say = lambda line: None,
    progress: Progress | None = None,
    **settings: Any,
) -> PairDataset:
    """Return the dataset on the CPU; ``settings`` are passed to ``build``. Raises Refused with file and line."""
    found = read_files("pairs", path, encoding)
    texts = ((decode(file.origin, file.content, encoding), file.origin) for file in found)
    rows = [row for text, origin in texts for row in read_pairs(text, origin, rule, say)]
    return build(
        "pairs",
        pools_of(rows, max_pairs, held_out),
        names(found),
        (source_kind, target_kind),
        rule=rule,
        contents=tuple(Content(file.origin, file.sha256) for file in found),
        **settings,
    )
