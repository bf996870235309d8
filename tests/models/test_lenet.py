from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.lenet import LeNet


def lenet(inputs=(1, 28, 28), activation="sigmoid", pool="avg"):
    torch.manual_seed(0)
    return LeNet(inputs=inputs, classes=10, activation=activation, pool=pool)


def test_parameters_are_those_of_the_book():
    assert sum(parameter.numel() for parameter in lenet().parameters()) == 61_706


@pytest.mark.parametrize("activation, act", [("sigmoid", torch.sigmoid), ("relu", F.relu)])
@pytest.mark.parametrize("pool, pool2d", [("avg", F.avg_pool2d), ("max", F.max_pool2d)])
def test_the_output_is_that_of_plain_functions(activation, act, pool, pool2d):
    model, images = lenet(activation=activation, pool=pool), torch.rand(3, 1, 28, 28)
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = model.parameters()
    x = pool2d(act(F.conv2d(images, w1, b1, padding=2)), 2)
    x = pool2d(act(F.conv2d(x, w2, b2)), 2)
    x = act(F.linear(x.reshape(3, 400), w3, b3))
    x = F.linear(act(F.linear(x, w4, b4)), w5, b5)
    torch.testing.assert_close(model(images), x, rtol=1e-5, atol=1e-6)


def test_the_shapes_on_the_way_are_those_of_the_book():
    x, shapes = torch.rand(1, 1, 28, 28), []
    for layer in lenet():
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, nn.AvgPool2d, nn.Linear)):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,)]


@pytest.mark.parametrize("inputs", [(1, 28, 28), (3, 32, 32), (1, 33, 28), (3, 17, 47)])
def test_images_of_other_sizes(inputs):
    assert lenet(inputs)(torch.rand(2, *inputs)).shape == (2, 10)
