from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.lenet_bn import LeNetBN


def lenet_bn(activation="sigmoid", pool="avg", inputs=(1, 28, 28)):
    torch.manual_seed(0)
    model = LeNetBN(inputs=inputs, classes=10, activation=activation, pool=pool).double()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return model


def plain(model, x, act, pool2d, moments):
    """The forward pass; ``moments(at, x, axes)`` are mean and variance for the normalisation number ``at``."""
    at, parameters = iter(range(4)), iter(model.parameters())

    def norm(x):
        axes = (0, 2, 3) if x.dim() == 4 else (0,)
        shape = [1, -1, *[1] * (x.dim() - 2)]
        mean, variance = (moment.reshape(shape) for moment in moments(next(at), x, axes))
        gamma, beta = (next(parameters).reshape(shape) for _ in range(2))
        return gamma * (x - mean) / (variance + 1e-5).sqrt() + beta

    for _ in range(2):
        x = pool2d(act(norm(F.conv2d(x, next(parameters), next(parameters)))), 2)
    x = x.reshape(len(x), 256)
    for _ in range(2):
        x = act(norm(F.linear(x, next(parameters), next(parameters))))
    return F.linear(x, next(parameters), next(parameters))


@torch.no_grad()
@pytest.mark.parametrize("activation, act", [("sigmoid", torch.sigmoid), ("relu", F.relu)])
@pytest.mark.parametrize("pool, pool2d", [("avg", F.avg_pool2d), ("max", F.max_pool2d)])
def test_training_normalises_by_the_batch(activation, act, pool, pool2d):
    model, x = lenet_bn(activation, pool), torch.rand(5, 1, 28, 28, dtype=torch.float64)
    expected = plain(model, x, act, pool2d, lambda at, x, axes: (x.mean(axes), x.var(axes, correction=0)))
    torch.testing.assert_close(model(x), expected)


@torch.no_grad()
def test_evaluation_normalises_by_the_running_statistics():
    model, x = lenet_bn(), torch.rand(5, 1, 28, 28, dtype=torch.float64)
    for _ in range(3):
        model(torch.rand(5, 1, 28, 28, dtype=torch.float64))
    norms = [module for module in model if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]

    def moments(at, x, axes):
        return norms[at].running_mean, norms[at].running_var

    torch.testing.assert_close(model.eval()(x), plain(model, x, torch.sigmoid, F.avg_pool2d, moments))


def test_the_shapes_on_the_way_are_those_of_the_book():
    x, shapes = torch.rand(2, 1, 28, 28, dtype=torch.float64), []
    for layer in lenet_bn():
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, nn.AvgPool2d, nn.Linear, nn.Flatten)):
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(6, 24), (6, 12), (16, 8), (16, 4), (256,), (120,), (84,), (10,)]


@pytest.mark.parametrize("inputs", [(3, 32, 32), (1, 33, 28), (3, 17, 47)])
def test_images_of_other_sizes(inputs):
    assert lenet_bn(inputs=inputs)(torch.rand(2, *inputs, dtype=torch.float64)).shape == (2, 10)
