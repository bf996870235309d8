"""vocabulary.json: the tokens that a language model knows, and the sha256 of its training text."""

from __future__ import annotations

from typing import Any

from d2lrun.disk import files
from d2lrun.disk.locate import Say
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.stream import TextDataset
from d2lrun.text.vocabulary import Vocabulary

LARGEST = 1 << 30  # most bytes, as for the text


class Damaged(Exception):
    """A file that ``keep`` did not write in this form; the message says why."""


def keep(data: TextDataset, directory: RunDirectory, say: Say) -> None:
    """Write the run's vocabulary.json; raises Refused, before a write, if the run started with another text."""
    if directory.checkpoints.exists() and directory.vocabulary_file.exists():
        try:
            refuse_other(data, directory)
        except Damaged as damage:
            say(f"{directory.vocabulary_file} is damaged: {damage}; written again")
    files.write_json(directory.vocabulary_file, {**data.vocabulary.to_data(), "sha256": data.sha256()})


def read(directory: RunDirectory) -> Vocabulary:
    """Read the vocabulary of a language model's run; raises Refused if there is none or it is damaged."""
    path = directory.vocabulary_file
    try:
        return saved(directory)[0]
    except FileNotFoundError:
        raise Refused(
            f"{directory.path} has no {path.name}: it is not a language model's run",
            "train one: d2lrun model=rnn",
        ) from None
    except Damaged as damage:
        raise Refused(f"{path} is damaged: {damage}", "train the run again") from damage


def refuse_other(data: TextDataset, directory: RunDirectory) -> None:
    """Raise Refused if the text differs from the text that the run started with, and Damaged if that is unknown."""
    vocabulary, sha256 = saved(directory)
    if data.vocabulary != vocabulary:
        what = "its vocabulary is no longer the one in"
    elif sha256 not in (None, data.sha256()):
        what = "its tokens no longer have the sha256 in"
    else:
        return
    raise Refused(
        f"{data.name} has changed since this run: {what} {directory.vocabulary_file}",
        "restore the text as it was, or train the run again",
    )


def saved(directory: RunDirectory) -> tuple[Vocabulary, str | None]:
    """Read the vocabulary and the sha256 of the tokens (None in old runs). Raises FileNotFoundError, Damaged."""
    try:
        content: Any = files.read_json(directory.vocabulary_file, LARGEST)
        vocabulary, sha256 = Vocabulary.from_data(content), content.get("sha256")
        if not isinstance(sha256, str | None):
            raise ValueError("its sha256 is not text")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Damaged(str(error)) from error
    return vocabulary, sha256
