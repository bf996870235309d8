from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.activations import ACTIVATIONS
from d2lrun.models.mlp import MLP


def mlp(hidden=(256,), activation="relu", dropout=(0.0,), inputs=(1, 28, 28), share=False):
    torch.manual_seed(0)
    options = {"hidden": list(hidden), "activation": activation, "dropout": list(dropout), "share": share}
    return MLP(inputs=inputs, classes=10, **options)


def plain(model, images, activation):
    """The forward pass in evaluation, written out."""
    *pairs, last = [model[at] for at in range(len(model)) if isinstance(model[at], nn.Linear)]
    x = images.reshape(len(images), -1)
    for layer in pairs:
        x = activation(F.linear(x, layer.weight, layer.bias))
    return F.linear(x, last.weight, last.bias)


@pytest.mark.parametrize(
    "hidden, dropout, count",
    [((256,), (0.0,), 203_530), ((256, 256), (0.2, 0.5), 269_322), ((), (0.0,), 7_850)],
)
def test_parameters_are_those_of_the_book(hidden, dropout, count):
    assert sum(parameter.numel() for parameter in mlp(hidden, dropout=dropout).parameters()) == count


@pytest.mark.parametrize(
    "name, function",
    [
        ("relu", F.relu),
        ("sigmoid", torch.sigmoid),
        ("tanh", torch.tanh),
        ("leaky_relu", lambda x: torch.where(x > 0, x, 0.01 * x)),
        ("elu", lambda x: torch.where(x > 0, x, x.expm1())),
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
        ("silu", lambda x: x * torch.sigmoid(x)),
    ],
)
def test_the_output_is_that_of_plain_functions(name, function):
    model, images = mlp((32, 16), name, (0.2, 0.5)).eval(), torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), plain(model, images, function), rtol=1e-5, atol=1e-6)


def test_every_activation_was_compared():
    assert len(ACTIVATIONS) == 7


@pytest.mark.parametrize("hidden", [(), (3,), (5, 4, 3)])
@pytest.mark.parametrize("inputs", [(1, 28, 28), (3, 7, 5)])
def test_the_shape_of_the_output(hidden, inputs):
    assert mlp(hidden, inputs=inputs)(torch.rand(2, *inputs)).shape == (2, 10)


@pytest.mark.parametrize(
    "dropout, layers",
    [([0.0], []), ([0.5], [0.5, 0.5]), ([0.2, 0.5], [0.2, 0.5]), ([0.0, 0.5], [0.5])],
)
def test_dropout_layers(dropout, layers):
    drops = [module.p for module in mlp((8, 8), dropout=dropout) if isinstance(module, nn.Dropout)]
    assert drops == layers


def test_dropout_stands_behind_the_activation():
    names = [type(module).__name__ for module in mlp((8, 8), dropout=(0.2, 0.5))]
    assert names == ["Flatten", *["Linear", "ReLU", "Dropout"] * 2, "Linear"]


def test_dropout_acts_in_training_only():
    model, images = mlp(dropout=(0.5,)), torch.rand(4, 1, 28, 28)
    assert not torch.equal(model.train()(images), model(images))
    assert torch.equal(model.eval()(images), model(images))


def test_a_wrong_number_of_probabilities_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        mlp((8, 8, 8), dropout=(0.1, 0.2))


def linears(model):
    return [module for module in model if isinstance(module, nn.Linear)]


def test_hidden_layers_of_one_shape_are_one_layer_where_they_are_shared():
    first, second, third, fourth, last = linears(mlp((8, 8, 8, 5), share=True))
    assert second is third
    assert len({first, second, fourth, last}) == 4


def test_layers_of_one_shape_are_shared_across_others():
    first, down, up, down_again, last = linears(mlp((8, 5, 8, 5), share=True))
    assert down is down_again
    assert len({first, down, up, last}) == 4


@pytest.mark.parametrize("hidden, count", [((256, 256, 256), 203_530 + 65_792), ((784, 784), 615_440 + 7_850)])
def test_a_shared_layer_counts_once(hidden, count):
    assert sum(parameter.numel() for parameter in mlp(hidden, share=True).parameters()) == count


def test_nothing_is_shared_unless_it_is_asked_for():
    assert len(set(linears(mlp((8, 8, 8))))) == 4


def test_the_last_layer_is_never_shared():
    assert len(set(linears(mlp((10, 10), share=True)))) == 3


def test_a_shared_layer_works_in_each_of_its_places():
    model, images = mlp((16, 16, 16), "tanh", share=True), torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), plain(model, images, torch.tanh), rtol=1e-5, atol=1e-6)


def test_the_gradient_of_a_shared_layer_is_the_sum_over_its_places():
    shared, apart = (mlp((6, 6, 6), "tanh", inputs=(1, 2, 3), share=share) for share in (True, False))
    images = torch.rand(4, 1, 2, 3)
    for own, layer in zip(linears(shared), linears(apart), strict=True):
        layer.load_state_dict(own.state_dict())
    for model in (shared, apart):
        model(images).sum().backward()
    first, second, third, last = (layer.weight.grad for layer in linears(apart))
    assert len(set(linears(shared)[:3])) == 1  # the images have six pixels: all hidden layers have one shape
    torch.testing.assert_close(linears(shared)[0].weight.grad, first + second + third)
    torch.testing.assert_close(linears(shared)[3].weight.grad, last)
