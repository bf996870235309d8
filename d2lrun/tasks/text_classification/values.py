"""``predict`` from Python. n texts, K classes."""

from __future__ import annotations

from typing import Any

from d2lrun.errors import Refused
from d2lrun.tasks import Classes, Question, texts_of
from d2lrun.tasks.text_classification.predict import part_probabilities, probabilities


def predict(question: Question, texts: Any) -> Classes:
    """Return the classes of texts, or else of the test part; raises Refused."""
    config = question.config
    if texts is not None:
        question.check_data()
        return Classes.of(*probabilities(question.directory, config, texts_of(texts))[:2])
    data, model = question.load()
    split = data.split(config.validation, config.seed)
    part = split.val if split.test is None else split.test
    if part is None:
        raise Refused(f"{data.name} has no test part, and nothing was held out of it", "give texts: run.predict(texts)")
    return Classes.of(part_probabilities(part, model, config.train.batch_size), data.classes)
