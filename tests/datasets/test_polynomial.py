from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from d2lrun.datasets.polynomial import curve, load, terms

TRUE = torch.tensor([5.0, 1.2, -3.4, 5.6])
BOOK = {"degree": 4, "coefficients": [5.0, 1.2, -3.4, 5.6], "n_train": 100, "n_test": 100, "noise": 0.1, "seed": 1}


def made(**changes):
    return load(**{**BOOK, **changes})


def test_the_terms_are_powers_over_factorials():
    x = np.array([-1.5, 0.0, 2.0])
    wanted = [[value**power / math.factorial(power) for power in range(20)] for value in x]
    assert np.allclose(terms(x, 20), wanted, rtol=1e-12)
    assert terms(x, 1).tolist() == [[1.0]] * 3


def test_the_curve_is_the_weighted_sum_of_the_terms():
    assert curve(np.array([2.0]), [5.0, 1.2, -3.4, 5.6])[0] == pytest.approx(5 + 1.2 * 2 - 3.4 * 2 + 5.6 * 8 / 6)
    assert curve(np.array([2.0]), []).tolist() == [0.0]


def test_what_is_not_on_the_curve_is_noise():
    data = made(n_train=20_000, noise=0.1)
    errors = data.train_targets[:, 0].double() - data.train_features.double() @ TRUE.double()
    assert errors.std().item() == pytest.approx(0.1, rel=0.03) and abs(errors.mean().item()) < 0.004
    exact = made(noise=0.0)
    assert torch.allclose(exact.train_targets[:, 0], exact.train_features @ TRUE, atol=1e-4)


def test_x_is_standard_normal():
    x = made(n_train=20_000).train_features[:, 1]
    assert x.std().item() == pytest.approx(1, rel=0.03) and abs(x.mean().item()) < 0.04


@pytest.mark.parametrize("degree", [1, 2, 20])
def test_models_of_every_degree_see_the_same_points(degree):
    one, other = made(), made(degree=degree)
    assert other.train_features.shape == (100, degree) == (100, *other.inputs)
    assert torch.equal(one.train_targets, other.train_targets) and torch.equal(one.test_targets, other.test_targets)
    shared = min(degree, 4)
    assert torch.equal(one.train_features[:, :shared], other.train_features[:, :shared])


def test_the_larger_training_set_holds_the_smaller_and_the_test_set_stays():
    small, large = made(n_train=10), made(n_train=500)
    assert torch.equal(small.train_features, large.train_features[:10])
    assert torch.equal(small.train_targets, large.train_targets[:10])
    assert torch.equal(small.test_features, large.test_features) and torch.equal(small.test_targets, large.test_targets)


def test_training_and_test_rows_are_others_and_so_are_those_of_other_seeds():
    one, other = made(), made(seed=2)
    columns = [one.train_features[:, 1], one.test_features[:, 1], other.train_features[:, 1]]
    assert len(set(torch.cat(columns).tolist())) == 300


def test_the_line_goes_from_the_first_point_to_the_last():
    line = made(degree=2).line
    assert (line.grid[0], line.grid[-1]) == (line.points.min(), line.points.max())
    assert torch.allclose(line.features[:, 1], line.grid)
    x = line.grid[0].item()
    assert line.truth[0].item() == pytest.approx(5 + 1.2 * x - 3.4 * x**2 / 2 + 5.6 * x**3 / 6, rel=1e-4)
