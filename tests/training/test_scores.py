"""Metrics of classes that are not balanced, beside their definitions."""

from __future__ import annotations

import math
from statistics import fmean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.tasks import task_of
from d2lrun.training.fit import State
from d2lrun.training.labels import LabelTask, balanced

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
    task = LabelTask(4, scored=True)
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


@pytest.mark.parametrize(
    "words, scored, weighed",
    [
        ([], False, False),
        (["train.class_weights=balanced"], True, True),
        (["sweep.metric=val_macro_f1"], True, False),
        (["sweep.metric=val_loss"], False, False),
    ],
)
@pytest.mark.parametrize("kind", ["pictures", "texts"])
def test_pictures_and_texts_are_scored_if_asked_for(kind, words, scored, weighed, own_images, own_texts):
    given = own_images if kind == "pictures" else ["model=bag-of-words", "dataset=labelled-text", *own_texts]
    config = compose([*given, "validation=holdout", *words])
    data = datasets.prepared(config)
    task = task_of(config, data)
    train = data.split(config.validation, config.seed).train
    labels = data.strata[train.index]
    wanted = balanced(labels, data.outputs) if weighed else None
    assert (task.weights is None) == (wanted is None) and (wanted is None or torch.equal(task.weights, wanted))
    assert not weighed or data.to("meta").weights.device.type == "meta"
    names = {"val_loss", "val_accuracy"} | ({"val_balanced_accuracy", "val_macro_f1"} if scored else set())
    assert set(task.metrics("val", torch.ones(task.counts), 1)) == names


def test_a_mixed_example_has_the_class_with_the_larger_share():
    task, logits = LabelTask(3, scored=True), torch.eye(3)
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.1, 0.7], [0.0, 0.4, 0.6]])
    loss = task.loss(logits, shares)
    assert torch.equal(task.count(logits, shares, loss), task.count(logits, torch.tensor([0, 2, 2]), loss))


@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from([0.0, 1.0]))
def test_sums_of_another_number_are_unknown_until_the_next_epoch(own, saved, value):
    state = State(torch.nn.Linear(1, 1), None, None, torch.zeros(own))
    state.load_sums(torch.full((saved,), value))
    wanted = [value] * min(own, saved) + [math.nan if value else 0.0] * (own - saved)
    assert state.sums.tolist() == pytest.approx(wanted, nan_ok=True)
