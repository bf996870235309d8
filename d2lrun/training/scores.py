"""Precision, recall and F1 of labels, from how often each is true, predicted and right. L labels."""

from __future__ import annotations

from torch import Tensor


def scores(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return precision, recall and F1 of each label, each [L], of counts [3, L]; 0 for a fraction without a whole."""
    true, predicted, right = counts
    return right / predicted.clamp(min=1), right / true.clamp(min=1), 2 * right / (true + predicted).clamp(min=1)


def macro_f1(counts: Tensor) -> float:
    """Return the mean F1 of the labels that are true or predicted anywhere; NaN if there is none."""
    return scores(counts)[2][counts[:2].sum(dim=0) > 0].mean().item()


def balanced_accuracy(counts: Tensor) -> float:
    """Return the mean recall of the labels that are true anywhere; NaN if there is none."""
    return scores(counts)[1][counts[0] > 0].mean().item()
