"""``translate`` from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from d2lrun.tasks import Question, texts_of
from d2lrun.tasks.translation.answer import Translator


def translate(question: Question, sentences: Any) -> list[str]:
    """Return the translation of each sentence."""
    options, texts = question.options, texts_of(sentences)
    question.check_data()
    translator = Translator(question.directory, question.config, int(options["beam"]), float(options["alpha"]))
    found = list(translator.translations(texts))
    if options["picture"]:
        translator.draw(texts, Path(options["picture"]))
    return found
