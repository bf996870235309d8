from __future__ import annotations

import pytest
import torch

from d2lrun.datasets.linear import load

BOOK = {"inputs": 200, "weights": [0.01], "bias": 0.05, "n_train": 20, "n_test": 100, "noise": 0.01, "seed": 1}


def made(**changes):
    return load(**{**BOOK, **changes})


def test_without_noise_the_targets_are_the_linear_function():
    data = made(noise=0.0)
    assert torch.allclose(data.train_targets[:, 0], data.train_features.sum(1) * 0.01 + 0.05, atol=1e-6)
    assert (data.train_features.shape, data.test_features.shape) == ((20, 200), (100, 200))
    assert (data.train_targets.shape, data.test_targets.shape) == ((20, 1), (100, 1))


def test_each_input_has_its_weight():
    data = made(inputs=2, weights=[2.0, -3.4], bias=4.2, noise=0.0)
    x, y = data.train_features, data.train_targets[:, 0]
    assert torch.allclose(y, 2 * x[:, 0] - 3.4 * x[:, 1] + 4.2, atol=1e-5)


def test_the_noise_has_its_standard_deviation():
    data = made(inputs=3, n_train=20_000, noise=0.5)
    errors = data.train_targets[:, 0] - data.train_features.sum(1) * 0.01 - 0.05
    assert errors.std().item() == pytest.approx(0.5, rel=0.03)


def test_the_larger_training_set_holds_the_smaller():
    small, large = made(n_train=5), made(n_train=50)
    assert torch.equal(small.train_features, large.train_features[:5])
    assert torch.equal(small.train_targets, large.train_targets[:5])
    assert not torch.equal(small.train_features, made(n_train=5, seed=2).train_features)
    assert not torch.equal(small.train_features, small.test_features[:5])
