from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks import Classification

TASK = Classification()


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
