"""Tagging: cross-entropy, accuracy, and the F1 of each label. B batch, T words, K tags, F labels of a tag, L labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.tasks.tagging.sentences import IGNORED, UNKNOWN_TAG, TaggedDataset, TaggedSubset
from d2lrun.tasks.tagging.styles import labels_of
from d2lrun.training.fit import steps
from d2lrun.training.scores import macro_f1

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split


def build(data: TaggedDataset, model: Any) -> Tagging:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    _, labels = labels_of(data.style, data.learned.tagset.tokens)
    return Tagging(torch.tensor(labels).view(data.outputs, -1).to(data.learned.tag_indices.device))


class Tagging:
    """Logits [B, T, K] and tags [B, T], which are IGNORED at padding: padding is in no loss and no metric.

    ``labels`` int64 [K, F]: what each tag says, usually itself. Macro F1 is the mean F1 of the labels that occur.
    """

    unit, stateful, remeasure_train = "tokens", False, False
    caveat: str | None = None
    compared, constant = "accuracy", "always the most frequent tag"

    def __init__(self, labels: Tensor):
        self.labels = labels
        self.different = int(labels.max()) + 1  # L
        self.counts = 2 + 3 * self.different

    def learn(self, state: State, split: Split[TaggedSubset], config: Config) -> Course:
        """Learn by the steps of an optimizer."""
        return steps(state, split, self, config)

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, T, K]

    def loss(self, logits: Tensor, tags: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, 1), tags.flatten(), ignore_index=IGNORED)

    def count(self, logits: Tensor, tags: Tensor, loss: Tensor) -> Tensor:
        """Return [sum of the losses, tags that are right], and for each label how often it is true, predicted, right.

        A label is right if it is true and predicted for the same word.
        """
        there, guesses = tags != IGNORED, predicted(logits)
        true, guessed = self.labels[tags.clamp(min=0)], self.labels[guesses]  # [B, T, F]
        once = there.unsqueeze(2).expand_as(true).float()
        none = once.new_zeros(self.different)
        counted = ((true, once), (guessed, once), (true, once * (true == guessed)))
        found = [none.index_add(0, labels.flatten(), weights.flatten()) for labels, weights in counted]
        right = (there & (guesses == tags)).sum()
        return torch.cat((torch.stack((loss.float() * there.sum(), right.float())), *found))

    def metrics(self, name: str, sums: Tensor, units: int, part: TaggedSubset | None = None) -> dict[str, float]:
        loss, right, *counts = sums.tolist()
        return {
            f"{name}_loss": loss / units,
            f"{name}_accuracy": right / units,
            f"{name}_macro_f1": macro_f1(torch.tensor(counts, dtype=torch.float64).view(3, -1)),
        }

    def measured_on(self, part: TaggedSubset) -> dict[str, str]:
        return dict.fromkeys(("loss", "accuracy", "macro_f1"), part.fingerprint)

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """None."""
        return {}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """None."""
        return {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Return False during training; the comparison with ``floor`` is made at the end."""
        return False

    def floor(self, train: TaggedSubset, part: TaggedSubset) -> float:
        commonest = train.numbers()[1].bincount().argmax()
        return (part.numbers()[1] == commonest).double().mean().item()

    def at_chance(self, accuracy: float, floor: float) -> bool:
        return accuracy <= floor


def predicted(logits: Tensor) -> Tensor:
    """Return the likeliest tag [...] for logits [..., K]; never the unknown one, for which no word is an example."""
    return logits[..., UNKNOWN_TAG + 1 :].argmax(dim=-1) + UNKNOWN_TAG + 1
