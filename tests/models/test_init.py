from __future__ import annotations

import math
from functools import partial
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from d2lrun.config.keys import Init
from d2lrun.models import gru, lstm, rnn
from d2lrun.models.init import initialise

FAN_IN, FAN_OUT = 400, 300
RULES = get_args(get_type_hints(Init)["name"])


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


@pytest.mark.parametrize("name", RULES)
def test_everything_but_the_weights_stays(name):
    model, before = network(), network().state_dict()
    initialise(model, name, value=0.25)
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == (set() if name == "torch" else {"0.weight", "1.0.weight"})


def changed(**arguments):
    """Which tensors of the network the rules touched; all that they give is another value than torch's own."""
    model, before = network(), network().state_dict()
    initialise(model, "torch", value=0.25, **arguments)
    return {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "torch"])
def test_a_rule_of_one_kind_leaves_all_others(rule):
    assert changed(linear=rule) == {"0.weight"}
    assert changed(conv=rule) == {"1.0.weight"}


def test_biases_of_weighted_layers_begin_where_they_are_told():
    assert changed(bias=0.5) == {"0.bias", "1.0.bias"}  # not that of the normalisation
    model = network()
    initialise(model, "torch", bias=0.5)
    assert [model[0].bias.unique().tolist(), model[1][0].bias.unique().tolist()] == [[0.5], [0.5]]


def test_a_bias_of_zero_is_not_no_bias():
    assert changed(bias=0.0) == {"0.bias", "1.0.bias"}


@pytest.mark.parametrize("name, other", [("normal", "constant"), ("constant", "xavier"), ("xavier", "torch")])
def test_the_rule_of_a_kind_goes_before_the_common_one(layer, name, other):
    if other == "constant":
        assert drawn(layer, name, value=0.25, **{layer: other}).unique().tolist() == [0.25]
    elif other == "torch":
        assert torch.equal(drawn(layer, name, **{layer: other}), weights(network())[layer].double())
    else:
        assert drawn(layer, name, value=9.0, **{layer: other}).abs().max().item() < 1


def test_a_layer_without_a_bias_stays_so():
    model = nn.Sequential(nn.Linear(3, 2, bias=False))
    initialise(model, "normal", bias=0.5)
    assert model[0].bias is None


# --- recurrent layers ----------------------------------------------------------------------------------------


LANGUAGE = {"inputs": None, "classes": 28, "hidden": 100, "layers": 2, "bidirectional": True, "dropout": 0.0}
LANGUAGE |= {"embedding": None, "tied": False}
BUILDERS = {"rnn": rnn.build, "gru": partial(gru.build, reset_after=False), "lstm": lstm.build}


@pytest.fixture(params=[(kind, impl) for kind in BUILDERS for impl in ("torch", "scratch")], ids="-".join)
def language(request):
    """Makes the same language model each time."""
    kind, impl = request.param

    def make():
        torch.manual_seed(0)
        return BUILDERS[kind](**LANGUAGE, impl=impl)

    make.impl = impl
    return make


def touched(make, **arguments):
    """The names of what the rules changed."""
    model, before = make(), make().state_dict()
    initialise(model, arguments.pop("name", "torch"), value=0.25, **arguments)
    return {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}


def matrices(model, dimensions=2):
    return {name for name, one in model.named_parameters() if one.dim() == dimensions and name.startswith("layer.")}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "torch"])
def test_the_recurrent_rule_draws_every_matrix_of_the_layer_and_nothing_else(language, rule):
    assert touched(language, recurrent=rule) == matrices(language())


def test_the_common_rule_is_for_recurrent_layers_too_unless_they_have_their_own(language):
    assert touched(language, name="constant") == matrices(language()) | {"head.weight"}
    assert touched(language, name="constant", recurrent="torch") == {"head.weight"}


def test_every_recurrent_bias_begins_where_it_is_told(language):
    assert touched(language, bias=0.5) == matrices(language(), dimensions=1) | {"head.bias"}


def test_the_fans_of_a_recurrent_layer_are_those_of_its_matrices(language):
    model = language()
    initialise(model, "torch", recurrent="xavier")
    for name in matrices(model):
        weight = model.get_parameter(name).double()
        assert close(weight, math.sqrt(2 / sum(weight.shape))), name
    initialise(model, "torch", recurrent="kaiming")
    for name in matrices(model):
        weight = model.get_parameter(name).double()
        inputs = weight.shape[0 if language.impl == "scratch" else 1]  # from scratch X W, torch's W X
        assert close(weight, math.sqrt(2 / inputs)), name


def test_each_rule_was_seen():
    assert sorted(RULES) == ["constant", "kaiming", "normal", "torch", "xavier"]


def test_the_same_seed_draws_the_same_weights(layer):
    assert torch.equal(drawn(layer, "normal"), drawn(layer, "normal"))
