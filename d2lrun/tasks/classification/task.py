"""Classification of images: logits against labels, cross-entropy and accuracy."""

from __future__ import annotations

from typing import Any

from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.training.labels import LabelTask


def build(data: ImageDataset, model: Any) -> Classification:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    return Classification(data.outputs, data.weights, data.scored)


class Classification(LabelTask):
    """Logits [B, K] of images against labels [B], or with mixup the probability of each class [B, K]."""
