"""The points of the kernel regression: which of them answer for a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.datasets.kernel import curve, load

KEYS = {"n_train": 20, "n_test": 10, "noise": 0.5, "seed": 1}


def test_the_test_points_are_even_and_without_noise():
    data = load(**KEYS)
    x = data.test_features[:, 0, 0].double().numpy()
    np.testing.assert_allclose(x, np.arange(10) / 2)
    np.testing.assert_allclose(data.test_targets[:, 0], curve(x), rtol=1e-6)


def test_training_points_are_in_order_and_as_noisy_as_said():
    data = load(**KEYS | {"n_train": 5000})
    x = data.train_features[:, 0, 0].double()
    assert (x.diff() >= 0).all() and x.min() >= 0 and x.max() < 5
    errors = data.train_targets[:, 0].double().numpy() - curve(x.numpy())
    assert errors.std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("words", [["validation=holdout"], ["validation=kfold", "validation.k=4", "validation.fold=2"]])
def test_only_points_that_train_answer_for_any_row(words):
    config = compose(["model=nadaraya-watson", *words])
    data = datasets.prepared(config)
    split = data.split(config.validation, config.seed)
    trains = {
        (x, y)
        for x, y in zip(data.line.points[split.train.index].tolist(), data.train_targets[split.train.index, 0].tolist())
    }
    for rows in (data.train_features, data.test_features, data.line.features):
        assert {tuple(point) for point in rows[:, :, 1:].flatten(0, 1).tolist()} == trains
    assert data.inputs == (len(trains), 3)


def test_the_points_depend_on_their_own_seed():
    assert not torch.equal(load(**KEYS).train_targets, load(**KEYS | {"seed": 2}).train_targets)
