"""Logits against labels: cross-entropy and accuracy, for tasks whose examples have one class. B batch, K classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.config.metrics import name_of
from d2lrun.disk.content import fingerprint
from d2lrun.training.fit import steps
from d2lrun.training.scores import balanced_accuracy, macro_f1
from d2lrun.training.task import CHANCE_EPOCHS

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split

SCORES = ("balanced_accuracy", "macro_f1")  # metrics in which each class counts alike
CHANCE_SHARE = 0.03  # share of the range from chance to 1: an accuracy up to there is at chance


class LabelTask:
    """Logits [B, K] against labels [B]. A subset has the labels of its pool, ``labels`` [N], and an ``index`` [n].

    ``weights`` [K] multiply the loss of each example by the weight of its class. If ``scored``, two metrics in which
    each class counts alike stand beside accuracy, as scikit-learn defines them: balanced accuracy, the mean recall of
    the classes that occur, and macro F1, the mean F1 of those that occur or are predicted.
    """

    unit, stateful, remeasure_train = "examples", False, False
    caveat: str | None = None
    compared, constant = "accuracy", "always the commonest class"

    def __init__(self, classes: int, weights: Tensor | None = None, scored: bool = False):
        self.classes, self.weights, self.scored = classes, weights, scored
        self.counts = 2 + 3 * classes * scored

    def learn(self, state: State, split: Split[Any], config: Config) -> Course:
        """Learn by the steps of an optimizer."""
        return steps(state, split, self, config)

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, K]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.weights is None:
            return F.cross_entropy(logits, labels)
        return F.cross_entropy(logits, labels, self.weights, reduction="sum") / len(labels)

    def count(self, logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
        """Return [sum of the losses, number correct]; of a mixed example the class with the larger share is correct.

        If ``scored``, how often each class is true, predicted, and right follows.
        """
        labels = labels if labels.dim() == 1 else labels.argmax(dim=1)
        guesses = logits.argmax(dim=1)
        sums = torch.stack((loss * len(labels), (guesses == labels).sum(dtype=loss.dtype)))
        if not self.scored:
            return sums
        none, once = loss.new_zeros(self.classes), torch.ones_like(labels, dtype=loss.dtype)
        pairs = ((labels, once), (guesses, once), (labels, once * (guesses == labels)))
        return torch.cat((sums, *(none.index_add(0, *pair) for pair in pairs)))

    def metrics(self, name: str, sums: Tensor, units: int, part: Any = None) -> dict[str, float]:
        loss, correct, *_ = sums.tolist()
        found = {f"{name}_loss": loss / units, f"{name}_accuracy": correct / units}
        if not self.scored:
            return found
        counts = sums[2:].cpu().double().view(3, -1)
        return found | {f"{name}_balanced_accuracy": balanced_accuracy(counts), f"{name}_macro_f1": macro_f1(counts)}

    def measured_on(self, part: Any) -> dict[str, str]:
        """The loss depends on the weights of the classes, too."""
        weighted = part.fingerprint if self.weights is None else fingerprint(part.fingerprint, self.weights)
        return {"loss": weighted, **dict.fromkeys(("accuracy", *SCORES * self.scored), part.fingerprint)}

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """None."""
        return {}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """None."""
        return {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Whether training accuracy, after ``CHANCE_EPOCHS`` or more, is within 3 % of the range from chance to 1."""
        accuracy = records[-1]["train_accuracy"] if len(records) >= CHANCE_EPOCHS else 1.0
        return self.at_chance(accuracy, 1 / self.classes)

    def floor(self, train: Any, part: Any) -> float:
        """Return the share in ``part`` of the most frequent training class, but at least 1 / classes."""
        commonest = labels_of(train).bincount().argmax()
        return max((labels_of(part) == commonest).double().mean().item(), 1 / self.classes)

    def at_chance(self, accuracy: float, floor: float) -> bool:
        """Whether the accuracy is within 3 % of the range from the floor to 1."""
        return accuracy < floor + CHANCE_SHARE * (1 - floor)


def scores_asked(config: Config) -> bool:
    """Whether a run measures ``SCORES``, whatever its task: its classes are weighed, or it is ranked by one of them."""
    return config.train.class_weights != "none" or name_of(config.sweep.metric or "") in SCORES


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Return the weight of each class, float32 [K]: n / (classes that occur · examples of the class), 0 without any.

    Each class has the same share in the loss of the examples with these labels [n], whose mean weight is 1.
    """
    counts = labels.cpu().bincount(minlength=classes).float()  # [K]
    return torch.where(counts > 0, len(labels) / (counts.clamp(min=1) * (counts > 0).sum()), 0.0)


def labels_of(part: Any) -> Tensor:
    """Return the labels of a subset, int64 [n] on the CPU."""
    return part.labels.cpu()[part.index.cpu()]
