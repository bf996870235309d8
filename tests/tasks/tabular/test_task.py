from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.datasets import linear
from d2lrun.tasks.tabular.table import TableSubset
from d2lrun.tasks.tabular.task import Regression, build


def tensors(logits, labels):
    return torch.from_numpy(logits), torch.from_numpy(labels)


def prices(size, seed):
    """Predictions, some of them negative, and true ones [B, 1]."""
    numbers = np.random.default_rng(seed)
    return numbers.normal(2e5, 2e5, size=(size, 1)), numbers.uniform(3e4, 8e5, size=(size, 1))


sales = st.builds(prices, st.integers(1, 9), st.integers(0, 10**6))


@given(st.lists(sales, min_size=1, max_size=4))
def test_the_errors_of_all_batches_are_averaged_together_however_large_each_is(batches):
    task, sums, units, squares, logs = Regression(logarithmic=True), torch.zeros(2, dtype=torch.float64), 0, [], []
    for predicted, true in batches:
        given = tensors(predicted, true)
        sums += task.count(*given, task.loss(*given))
        units += len(true)
        squares += [(one - other) ** 2 for one, other in zip(predicted[:, 0], true[:, 0], strict=True)]
        logs += [(math.log(max(one, 1)) - math.log(other)) ** 2 for one, other in zip(predicted[:, 0], true[:, 0])]
    measured = task.metrics("val", sums, units)
    assert list(measured) == ["val_loss", "val_log_rmse"]
    assert measured["val_loss"] == pytest.approx(sum(squares) / units, rel=1e-9)
    assert measured["val_log_rmse"] == pytest.approx(math.sqrt(sum(logs) / units), rel=1e-9)


def test_without_logarithms_there_is_the_loss_alone():
    task = Regression(logarithmic=False)
    counted = task.count(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [-1.0]]), torch.tensor(5.0))
    assert counted.tolist() == [10.0] and task.counts == 1
    assert task.metrics("train", counted, 2) == {"train_loss": 5.0}


def test_only_a_linear_model_has_a_norm():
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -4.0]]))
        model.bias.fill_(100.0)
    task = Regression(logarithmic=False)
    assert task.weight_metrics(model) == {"weight_norm": 5.0}
    assert task.weight_metrics(torch.nn.Sequential(model)) == {}


def test_a_table_is_regressed_on():
    data = linear.load(inputs=2, weights=[1.0], bias=0.0, n_train=3, n_test=3, noise=0.0, seed=1)
    task = build(data, None)
    assert isinstance(task, Regression) and task.counts == 1 and not task.stuck([])


def numbered(targets):
    """The rows 1, 2, … of a table, with these targets; its row 0 belongs to no part."""
    targets = torch.tensor([1e6, *targets], dtype=torch.float32)[:, None]
    return TableSubset(None, torch.zeros(len(targets), 1), targets, torch.arange(1, len(targets)))


numbers = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20)


@given(numbers, numbers, st.floats(-100, 100))
def test_the_floor_of_a_regression_is_the_mean_of_the_training_targets(train, val, constant):
    task = Regression(logarithmic=False)
    floor, own = (task.floor(numbered(train), numbered(part)) for part in (val, train))
    assert floor == pytest.approx(np.mean((np.array(val) - np.mean(train)) ** 2), rel=1e-5, abs=1e-3)
    assert own <= np.mean((np.array(train) - constant) ** 2) + 1e-3  # no other constant is better where it is fitted


def test_at_chance_is_what_is_no_better_than_the_floor():
    task = Regression(logarithmic=False)
    assert not task.at_chance(1.2, 1.3)
    assert task.at_chance(2e10, 1.3)
    assert not task.at_chance(math.nan, 1.3)
