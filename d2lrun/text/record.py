"""vocabulary.json of a run: the lists of words that its weights belong to, such as tokens and the names of classes."""

from __future__ import annotations

from collections.abc import Sequence

from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused

LARGEST = 1 << 30  # most bytes


def write(directory: RunDirectory, tokens: Sequence[str], **lists: Sequence[str]) -> None:
    """Write the vocabulary of the inputs, and other lists by name."""
    files.write_json(directory.vocabulary_file, {"tokens": list(tokens), **{key: [*lists[key]] for key in lists}})


def read(directory: RunDirectory, *names: str) -> list[list[str]]:
    """Return the lists ``names`` of a run; raises Refused if one is missing or damaged."""
    path = directory.vocabulary_file
    try:
        content = files.read_json(path, LARGEST)
    except FileNotFoundError:
        raise Refused(f"{directory.path} has no {path.name}: it has not begun", directory.command("resume")) from None
    except (OSError, ValueError) as error:
        raise Refused(f"{path} is damaged: {error}", "train the run again") from error
    found: list[list[str]] = []
    for name in names:
        words = content.get(name) if isinstance(content, dict) else None
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise Refused(f'{path} is damaged: wanted "{name}": [a list of strings]', "train the run again")
        if len(set(words)) < len(words):
            raise Refused(f'{path} is damaged: "{name}" has a word twice', "train the run again")
        found.append(words)
    return found
