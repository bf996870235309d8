"""``tag`` from Python."""

from __future__ import annotations

from typing import Any

from d2lrun.tasks import Question, texts_of
from d2lrun.tasks.tagging.predict import tag_sentences
from d2lrun.tasks.tagging.styles import style_of
from d2lrun.tasks.tagging.words import words_of


def tag(question: Question, sentences: Any) -> list[list[tuple[str, str]]]:
    """Return each word of the sentences with its tag."""
    style = style_of(question.config.dataset.name)
    words = [words_of(text, style) for text in texts_of(sentences)]
    question.check_data()
    tags, _ = tag_sentences(question.directory, question.config, [each for each in words if each])
    found = iter(tags)
    return [list(zip(each, next(found), strict=True)) if each else [] for each in words]
