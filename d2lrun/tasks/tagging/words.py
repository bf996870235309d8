"""``d2lrun tag RUN``: tag sentences, or the test set. Functions import torch."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.errors import Refused
from d2lrun.streams import complain
from d2lrun.tasks import Question, Word

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.tasks.tagging.sentences import TaggedDataset
    from d2lrun.tasks.tagging.styles import Style

CHINESE = re.compile("[\u3400-\u9fff]{2}")
NAMED = 10  # most unknown words in a message


def tag(question: Question) -> None:
    """Print each sentence with its tags, or restored; without one, the scores of each tag on the test set."""
    if not question.files:
        tag_test(question)
        return
    from d2lrun.disk.texts import lines_of
    from d2lrun.report.text import printable
    from d2lrun.tasks.tagging.predict import tag_sentences
    from d2lrun.tasks.tagging.styles import style_of

    style = style_of(question.config.dataset.name)
    sentences = [words_of(text, style) for text in lines_of(question.files)]
    question.check_data()
    given = [words for words in sentences if words]
    tags, unknown = tag_sentences(question.directory, question.config, given)
    if unknown:
        more = ", …" if len(unknown) > NAMED else ""
        complain(f"not in the vocabulary, read as <unk>: {', '.join(map(repr, unknown[:NAMED]))}{more}\n")
    for words, found in zip(given, tags, strict=True):
        sys.stdout.write(printable(question.console, style.write(words, found)) + "\n")


def words_of(text: str, style: Style) -> list[str]:
    """Return the words of a text; Chinese without spaces is segmented by jieba. Raises Refused without jieba."""
    if not re.search(r"\s", text.strip()) and CHINESE.search(text):
        from d2lrun.text.corpus import chinese_words

        try:
            segment = chinese_words()
        except Refused as refusal:
            hint = f"{refusal.hint}, or put spaces between the words"
            raise Refused("a sentence without spaces needs jieba, which is not installed", hint) from None
        text = " ".join(segment(text.strip()))
    return style.words(text)


def tag_test(question: Question) -> None:
    """Print the scores of each tag on the test set, or else on the held-out part, and write them to tags.csv."""
    from d2lrun.report.tables import grid, show, words
    from d2lrun.report.text import measured, say
    from d2lrun.tasks.tagging.tables import HEADS, write_tags
    from d2lrun.tasks.tagging.view import SCORES, score

    data: TaggedDataset
    data, model = question.load()
    split = data.split(question.config.validation, question.config.seed)
    parts = {"test": split.test, "val": split.val, "train": split.train}
    name, part = next((name, part) for name, part in parts.items() if part is not None)
    result = score(model, split.train, part, question.config.train.batch_size)
    table = grid("tag", *HEADS)
    for label, count, *values in result.rows:
        table.add_row(*(words(question.console, cell) for cell in (label, f"{count:,}", *map(measured, values))))
    show(question.console, table)
    say(question.console, f"\n {name} part: {result.title}")
    path = question.directory.path / SCORES
    write_tags(path, result.rows)
    say(question.console, f" all tags: {path}")


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``tag`` for this run."""
    return ["tag", directory]


WORDS = {
    "tag": Word(
        "[WORDS|LINES...]",
        "tag sentences, or put capitals and marks back; without one, score each tag",
        {
            "WORDS": "a sentence; without one, the tags of the test set are scored",
            "LINES": "a text file in UTF-8 with a sentence in each line",
        },
        tag,
    )
}
