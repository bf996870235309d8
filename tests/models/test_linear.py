from __future__ import annotations

import pytest
import torch

from d2lrun import models
from d2lrun.config.compose import compose


def build(*words, features=5):
    torch.manual_seed(1)
    return models.build(compose(["model=linear", *words]).model, (features,), 1)


@pytest.mark.parametrize("bias, count", [("true", 6), ("false", 5)])
def test_it_is_a_weighted_sum(bias, count):
    model, rows = build(f"model.bias={bias}"), torch.randn(3, 5)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    constant = model.bias if bias == "true" else 0
    assert torch.allclose(model(rows), rows @ model.weight.T + constant)
    assert model(rows).shape == (3, 1)


def test_weights_and_bias_can_be_drawn_alike():
    model = build("model.init.name=normal", "model.init.std=1", "model.init.bias_std=2", features=10_000)
    biases = torch.stack([build("model.init.bias_std=2", f"model.init.bias={at}").bias for at in (0, 7)])
    assert model.weight.std().item() == pytest.approx(1, rel=0.05)
    assert (biases[1] - biases[0]).item() == pytest.approx(7, abs=1e-5)  # the same draw around another mean


def test_an_mlp_takes_rows_as_well():
    torch.manual_seed(1)
    model = models.build(compose(["model=mlp", "dataset=linear"]).model, (331,), 1)
    assert model(torch.zeros(4, 331)).shape == (4, 1)
