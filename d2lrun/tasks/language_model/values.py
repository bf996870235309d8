"""``generate`` from Python."""

from __future__ import annotations

from typing import Any

from d2lrun.tasks import Question
from d2lrun.tasks.language_model.generate import continue_text
from d2lrun.tasks.language_model.words import numbers


def generate(question: Question, inputs: Any) -> str:
    """Return the prefix and its continuation."""
    options = question.options
    question.check_data()
    _, pieces = continue_text(question.directory, question.config, options["prefix"], **numbers(options))
    return "".join(pieces)
