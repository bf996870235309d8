from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.classification.images import ImageSubset
from d2lrun.tasks.classification.task import Classification, build

TASK = Classification(10)


def batch(size, classes, seed):
    numbers = np.random.default_rng(seed)
    return numbers.normal(scale=3, size=(size, classes)), numbers.integers(classes, size=size)


def tensors(logits, labels):
    return torch.from_numpy(logits), torch.from_numpy(labels)


batches = st.builds(batch, st.integers(1, 9), st.integers(2, 12), st.integers(0, 10**6))


@given(batches)
def test_the_loss_is_the_mean_negative_log_probability(batch):
    logits, labels = batch
    each = [math.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels)]
    assert TASK.loss(*tensors(logits, labels)).item() == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-12)


@given(batches)
def test_counted_are_the_summed_loss_and_the_hits(batch):
    logits, labels = batch
    total, correct = TASK.count(*tensors(logits, labels), torch.tensor(0.75, dtype=torch.float64)).tolist()
    assert total == 0.75 * len(labels)
    assert correct == sum(max(range(len(row)), key=row.__getitem__) == label for row, label in zip(logits, labels))


def test_equal_logits_cost_the_logarithm_of_their_number():
    assert TASK.loss(torch.zeros(3, 10), torch.tensor([0, 5, 9])).item() == pytest.approx(math.log(10))


def records(*accuracies):
    return [{"epoch": epoch, "train_accuracy": accuracy} for epoch, accuracy in enumerate(accuracies, start=1)]


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_before_its_third_epoch_no_run_is_dead(epochs):
    assert not TASK.stuck(records(*[0.1] * epochs))


@pytest.mark.parametrize(
    "accuracies, dead",
    [
        ([0.1, 0.1, 0.1], True),
        ([0.1, 0.1, 0.1269], True),  # no more than 3 % of the way from chance to all right: 0.1 + 0.03 * 0.9
        ([0.1, 0.1, 0.1271], False),
        ([0.1, 0.1, 0.68], False),  # LeNet (book 6.6)
        ([0.3, 0.2, 0.1], True),  # what it could before does not count
        ([0.1, 0.1, 0.1, 0.1, 0.5], False),
        ([0.5, 0.6, 0.7, 0.8, 0.1], True),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_dead_is_a_run_at_chance_after_its_third_epoch_or_later(accuracies, dead):
    assert TASK.stuck(records(*accuracies)) == dead


@given(st.integers(2, 1000), st.floats(0, 1))
def test_chance_is_one_class_among_all(classes, accuracy):
    way = (accuracy - 1 / classes) / (1 - 1 / classes)
    if abs(way - 0.03) > 1e-6:
        assert Classification(classes).stuck(records(0, 0, accuracy)) == (way < 0.03)


def test_a_run_whose_accuracy_is_none_is_not_called_dead():
    """It has diverged, which is said elsewhere."""
    assert not TASK.stuck(records(0.1, 0.1, math.nan))


def test_images_are_classified(stripes):
    task = build(stripes, None)
    assert isinstance(task, Classification) and task.classes == 10


def labelled(labels):
    """The images 1, 2, … of a dataset, with these labels; its image 0 belongs to no part."""
    labels = torch.tensor([0, *labels])
    return ImageSubset(None, torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, torch.arange(1, len(labels)))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_the_floor_of_a_classification_is_always_the_commonest_class(train, val):
    floor = Classification(4).floor(labelled(train), labelled(val))
    commonest = min(label for label in set(train) if train.count(label) == max(map(train.count, train)))
    assert floor == pytest.approx(max(0.25, val.count(commonest) / len(val)))
    own = Classification(4).floor(labelled(train), labelled(train))
    assert all(own >= train.count(label) / len(train) for label in range(4))


def test_at_chance_is_what_is_no_better_than_the_floor():
    task = Classification(10)
    assert not task.at_chance(0.6, 0.5)
    assert task.at_chance(0.51, 0.5)  # 3 % of the way is at chance
    assert not task.at_chance(math.nan, 0.5)
