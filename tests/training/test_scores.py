"""Metrics of classes that are not balanced, beside their definitions."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.training.labels import LabelTask, ScoredLabelTask, balanced

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


def by_hand(pairs):
    """Balanced accuracy and macro F1 of pairs (true, predicted), as scikit-learn defines them."""
    true, predicted = zip(*pairs)
    recalls, scores = [], []
    for k in {*true, *predicted}:
        right = sum(pair == (k, k) for pair in pairs)
        recalls += [right / true.count(k)] if k in true else []
        scores.append(2 * right / (true.count(k) + predicted.count(k)))
    return fmean(recalls), fmean(scores)


@given(PAIRS, st.integers(1, 7))
def test_the_scores_of_classes_are_those_of_a_loop(pairs, size):
    task = ScoredLabelTask(4)
    true, predicted = (torch.tensor(column) for column in zip(*pairs))
    logits = torch.nn.functional.one_hot(predicted, 4).float()
    batches = zip(logits.split(size), true.split(size))
    sums = sum(task.count(outputs, labels, task.loss(outputs, labels)) for outputs, labels in batches)
    found = task.metrics("val", sums, len(pairs))
    plain = LabelTask(4).metrics("val", sums[:2], len(pairs))
    assert {name: found[name] for name in plain} == plain
    assert [found["val_balanced_accuracy"], found["val_macro_f1"]] == pytest.approx(by_hand(pairs))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_balanced_weights_give_each_class_the_same_share_of_the_loss(labels):
    weights = balanced(torch.tensor(labels), 5)
    shares = [labels.count(k) * weights[k].item() for k in range(5)]
    there = {*labels}
    assert shares == pytest.approx([len(labels) / len(there) if k in there else 0 for k in range(5)])


def test_a_weighted_loss_is_the_mean_over_the_examples():
    torch.manual_seed(1)
    logits, labels, weights = torch.randn(6, 3), torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0.5, 2.0, 1.0])
    losses = [-math.log(row.softmax(0)[k]) * weights[k].item() for row, k in zip(logits, labels.tolist())]
    assert LabelTask(3, weights).loss(logits, labels).item() == pytest.approx(fmean(losses))
