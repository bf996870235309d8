"""models.build: from the config group ``model`` to a network; its refusals, first weights, frozen parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.config.tables import MODELS
from d2lrun.errors import Refused

# The fewest pixels a side, by hand from the book's formula: one is left before the last layer that shrinks them.
SMALLEST = {
    **{"softmax": 1, "mlp": 1, "lenet": 12, "lenet-bn": 16},
    **{"alexnet": 65, "vgg": 32, "nin": 67, "googlenet": 1, "resnet": 1, "densenet": 29},
    **{"torchvision": 1, "rnn": 1, "gru": 1, "lstm": 1},
}


def build(*overrides, inputs=(1, 28, 28), classes=10):
    torch.manual_seed(0)
    return models.build(compose([*overrides]).model, inputs, classes)


def test_every_network_is_seen():
    assert set(SMALLEST) == {name for name, entry in MODELS.items() if "images" in entry.inputs}


@pytest.mark.parametrize("name, side", SMALLEST.items())
def test_the_smallest_images_can_be_trained_on(name, side):
    with torch.device("meta"):
        model = build(f"model={name}", inputs=(1, side, side))
        assert model.train()(torch.empty(2, 1, side, side)).shape == (2, 10)


@pytest.mark.parametrize("name, side", [(name, side) for name, side in SMALLEST.items() if side > 1])
def test_smaller_images_are_refused_with_the_number_that_works(name, side):
    with pytest.raises(Refused) as caught:
        build(f"model={name}", inputs=(1, side - 1, side - 1))
    assert str(caught.value) == (
        f"images of {side - 1}×{side - 1} are too small for {name}: wanted at least {side}×{side}"
    )
    assert caught.value.hint == f"dataset.resize={side} or more"


def test_the_shorter_side_counts():
    with pytest.raises(Refused, match="images of 60×100 are too small for nin: wanted at least 67×67"):
        build("model=nin", inputs=(1, 60, 100))
    assert build("model=nin", inputs=(1, 67, 100))


@pytest.mark.parametrize("depth, side", [(11, 32), (19, 32)])
def test_the_depth_of_vgg_does_not_change_what_it_takes(depth, side):
    with pytest.raises(Refused, match=f"wanted at least {side}×{side}"):
        build("model=vgg", f"model.depth={depth}", "model.ratio=16", inputs=(1, side - 1, side - 1))


@pytest.mark.parametrize("blocks, side", [("[1,1]", 5), ("[1,1,1,1,1,1]", 125)])
def test_more_blocks_of_densenet_want_more_pixels(blocks, side):
    with pytest.raises(Refused, match=f"wanted at least {side}×{side}"):
        build("model=densenet", f"model.blocks={blocks}", inputs=(1, side - 1, side - 1))
    assert build("model=densenet", f"model.blocks={blocks}", inputs=(1, side, side))


def test_a_network_comes_in_training_mode():
    assert all(module.training for module in build("model=lenet-bn").modules())


def test_the_try_leaves_the_running_statistics_alone():
    model = build("model=lenet-bn")
    norms = [module for module in model.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert [int(norm.num_batches_tracked) for norm in norms] == [0, 0, 0, 0]


LENET = ["model=lenet", "model.init.std=0.5", "model.init.value=0.25"]


def weights(model):
    """Of convolutions, of fully connected layers, and all biases, each as one vector."""
    kinds = {"conv": nn.Conv2d, "linear": nn.Linear}
    found = {
        name: torch.cat([module.weight.detach().flatten() for module in model.modules() if isinstance(module, kind)])
        for name, kind in kinds.items()
    }
    biases = [parameter.detach() for name, parameter in model.named_parameters() if name.endswith("bias")]
    return found | {"bias": torch.cat(biases)}


def test_one_kind_begins_by_another_rule():
    drawn = weights(build(*LENET, "model.init.linear=normal"))
    assert drawn["linear"].std().item() == pytest.approx(0.5, rel=0.02)
    assert drawn["conv"].abs().max().item() <= math.sqrt(6 / (1 * 25 + 6 * 25))  # the bound of xavier, first layer


@pytest.mark.parametrize("kind, other", [("linear", "conv"), ("conv", "linear")])
def test_only_that_kind_does(kind, other):
    drawn = weights(build(*LENET, "model.init.name=torch", f"model.init.{kind}=constant"))
    plain = weights(build(*LENET, "model.init.name=torch"))
    assert drawn[kind].unique().tolist() == [0.25]
    assert torch.equal(drawn[other], plain[other])
    assert torch.equal(drawn["bias"], plain["bias"])


def test_biases_begin_where_they_are_told():
    assert weights(build(*LENET, "model.init.bias=0.125"))["bias"].unique().tolist() == [0.125]


def frozen(model):
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


@pytest.mark.parametrize(
    "patterns, wanted",
    [
        ("[]", []),
        ("[0.*]", ["0.weight", "0.bias"]),
        ("[0.weight,11.*]", ["0.weight", "11.weight", "11.bias"]),
        ("['?.bias']", ["0.bias", "3.bias", "7.bias", "9.bias"]),
        ("['*.weight']", ["0.weight", "3.weight", "7.weight", "9.weight", "11.weight"]),
    ],
)
def test_parameters_are_frozen_by_pattern(patterns, wanted):
    assert frozen(build("model=lenet", f"model.freeze={patterns}")) == wanted


def test_a_frozen_layer_gets_no_gradient_and_the_others_do():
    model = build("model=lenet", "model.freeze=[0.*]")
    model(torch.rand(2, 1, 28, 28)).sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == ["0.weight", "0.bias"]


def test_a_pattern_that_names_nothing_is_refused_with_the_names():
    with pytest.raises(Refused) as caught:
        build("model=mlp", "model.freeze=[features.*]")
    assert str(caught.value) == (
        "model.freeze: no parameter is called features.* (have: 1.weight, 1.bias, 3.weight, 3.bias)"
    )


def test_a_long_list_of_names_is_cut():
    with pytest.raises(Refused, match=r"\(have: 0\.weight, .*, 9\.bias, …\)$") as caught:
        build("model=lenet", "model.freeze=[nothing]")
    assert str(caught.value).count(",") == 8


@pytest.mark.parametrize("patterns", ["['*']", "['*.weight','*.bias']"])
def test_a_network_that_is_all_frozen_is_refused(patterns):
    with pytest.raises(Refused, match="nothing is left to train"):
        build("model=mlp", f"model.freeze={patterns}")
