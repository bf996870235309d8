from __future__ import annotations

import math
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from d2lrun.config import Init
from d2lrun.models.init import initialise

FAN_IN, FAN_OUT = 400, 300


def network():
    """A Linear and a Conv2d with the same fans (the kernel has 4 × 4 places), and a layer to be left alone."""
    torch.manual_seed(0)
    conv = nn.Conv2d(FAN_IN // 16, FAN_OUT // 16, kernel_size=4)
    return nn.Sequential(nn.Linear(FAN_IN, FAN_OUT), nn.Sequential(conv), nn.BatchNorm2d(3))


def weights(model):
    return {"linear": model[0].weight, "conv": model[1][0].weight}


@pytest.fixture(params=["linear", "conv"])
def layer(request):
    return request.param


@pytest.fixture
def fans(layer):
    return (FAN_IN, FAN_OUT) if layer == "linear" else (FAN_IN // 16 * 16, FAN_OUT // 16 * 16)


def drawn(layer, name, **arguments):
    model = network()
    initialise(model, name, **arguments)
    return weights(model)[layer].detach().double()


def close(weight, std):
    """The sample's std within five of its own standard errors."""
    return weight.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * weight.numel()))


@pytest.mark.parametrize("std", [0.01, 0.5])
def test_normal(layer, std):
    weight = drawn(layer, "normal", std=std)
    assert close(weight, std)
    assert abs(weight.mean().item()) < 5 * std / math.sqrt(weight.numel())
    assert (weight.abs() < std).double().mean().item() == pytest.approx(0.6827, abs=0.02)


def test_xavier(layer, fans):
    weight, bound = drawn(layer, "xavier"), math.sqrt(6 / sum(fans))
    assert 0.99 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)
    assert close(weight, bound / math.sqrt(3))


def test_kaiming(layer, fans):
    weight = drawn(layer, "kaiming")
    assert close(weight, math.sqrt(2 / fans[0]))
    assert weight.abs().max().item() > 3 * weight.std().item()  # normal, not uniform


def test_constant(layer):
    assert drawn(layer, "constant", value=0.25).unique().tolist() == [0.25]


def test_torch_leaves_the_very_bits(layer):
    assert torch.equal(drawn(layer, "torch"), weights(network())[layer].double())


@pytest.mark.parametrize("name", get_args(get_type_hints(Init)["name"]))
def test_everything_but_the_weights_stays(name):
    model, before = network(), network().state_dict()
    initialise(model, name, value=0.25)
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == (set() if name == "torch" else {"0.weight", "1.0.weight"})


def test_the_same_seed_draws_the_same_weights(layer):
    assert torch.equal(drawn(layer, "normal"), drawn(layer, "normal"))
