"""Classification of texts: logits against labels, cross-entropy and accuracy."""

from __future__ import annotations

from typing import Any

from d2lrun.tasks.text_classification.texts import LabelledTexts
from d2lrun.training.labels import LabelTask


def build(data: LabelledTexts, model: Any) -> TextClassification:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    return TextClassification(data.outputs, data.weights, data.scored)


class TextClassification(LabelTask):
    """Logits [B, K] of texts against labels [B]."""
