"""The user's own tagged sentences: a word and its tag in each line (CoNLL), or word/tag pairs."""

from __future__ import annotations

from collections.abc import Sequence

from d2lrun.disk.content import Content
from d2lrun.disk.locate import Found, Progress, Say
from d2lrun.disk.texts import decode, names, read_files
from d2lrun.errors import Refused
from d2lrun.tasks.tagging import formats
from d2lrun.tasks.tagging.sentences import TaggedDataset, build


def load(
    path: str | Sequence[str] | None,
    test: str | None,
    encoding: str,
    format: str,
    token: int,
    tag: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TaggedDataset:
    """Return the dataset on the CPU; raises Refused that names the file and the line."""
    files = [read_files("tagged-text", path, encoding), read_files("tagged-text", test, encoding) if test else []]

    def read(found: Sequence[Found]) -> list[formats.Sentence]:
        sentences = []
        for file in found:
            tagged = formats.read(file.origin, decode(file.origin, file.content, encoding), format, token, tag)
            say(f"{file.origin}: {tagged}")
            sentences += tagged.sentences
        return sentences

    train, held_out = map(read, files)
    if test and not held_out:
        raise Refused(f"dataset.test={test}: no sentence in it", "give a file with tagged words, or leave it out")
    contents = [Content(file.origin, file.sha256) for found in files for file in found]
    return build("tagged-text", train, held_out if test else None, names(files[0]), contents)
