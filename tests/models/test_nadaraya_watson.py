"""Kernel regression against its formula in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from d2lrun.models.inputs import Stream
from d2lrun.models.nadaraya_watson import NadarayaWatson

POINTS = [(0.0, 1.0), (1.0, 3.0), (2.5, -2.0)]


def predicted(model, x):
    return model(torch.tensor([[(x, key, value) for key, value in POINTS]])).item()


@pytest.mark.parametrize("x", [0.3, 1.0, 2.0])
def test_a_prediction_is_the_weighted_mean_of_the_other_points(x):
    model = NadarayaWatson(inputs=(3, 3), classes=1)
    others = [(key, value) for key, value in POINTS if key != x]
    weights = [math.exp(-(((x - key) * model.w.item()) ** 2) / 2) for key, _ in others]
    wanted = sum(weight * value for weight, (_, value) in zip(weights, others, strict=True)) / sum(weights)
    assert predicted(model, x) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("inputs", [(3,), (1, 28, 28), (50, 2), Stream(8)])
def test_other_inputs_are_refused(inputs):
    with pytest.raises(ValueError, match="dataset=kernel"):
        NadarayaWatson(inputs=inputs, classes=1)
