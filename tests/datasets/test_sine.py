from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun.datasets.sine import form, load

BOOK = {"frequency": 0.01, "n_train": 604, "n_test": 396, "noise": 0.2, "seed": 1}


def made(**changes):
    return load(**{**BOOK, **changes})


def test_without_noise_it_is_the_sine_from_the_time_1():
    data = made(noise=0.0)
    assert np.array_equal(data.values, np.sin(0.01 * np.arange(1, 1001)))
    assert torch.equal(data.signal, data.values) and data.train == 604


def test_the_noise_has_its_standard_deviation():
    data = made(n_train=20_000)
    assert (data.values - data.signal).std().item() == pytest.approx(0.2, rel=0.02)
    assert (data.values - data.signal).mean().item() == pytest.approx(0, abs=0.01)


def test_a_longer_series_begins_with_the_shorter():
    assert torch.equal(made(n_train=50, n_test=10).values, made().values[:60])
    assert not torch.equal(made(seed=2).values, made().values)


def test_the_form_needs_no_values():
    assert form(type("Group", (), {"tau": 7})) == ((7,), 1)
