from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.alexnet import AlexNet


def alexnet(side, device="cpu", dropout=0.5, channels=1):
    torch.manual_seed(0)
    with torch.device(device):
        return AlexNet(inputs=(channels, side, side), classes=10, dropout=dropout)


def test_the_output_is_that_of_plain_functions():
    model, x = alexnet(96).eval(), torch.rand(2, 1, 96, 96)
    (w1, w2, w3, w4, w5, w6, w7, w8), (b1, b2, b3, b4, b5, b6, b7, b8) = (
        list(model.parameters())[::2],
        (*list(model.parameters())[1::2],),
    )
    with torch.no_grad():
        found = model(x)
        x = F.max_pool2d(F.relu(F.conv2d(x, w1, b1, stride=4, padding=1)), 3, 2)
        x = F.max_pool2d(F.relu(F.conv2d(x, w2, b2, padding=2)), 3, 2)
        x = F.relu(F.conv2d(x, w3, b3, padding=1))
        x = F.relu(F.conv2d(x, w4, b4, padding=1))
        x = F.max_pool2d(F.relu(F.conv2d(x, w5, b5, padding=1)), 3, 2).reshape(2, 256)
        x = F.linear(F.relu(F.linear(F.relu(F.linear(x, w6, b6)), w7, b7)), w8, b8)
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-6)


def test_the_shapes_on_the_way_are_those_of_the_book():
    model, x, shapes = alexnet(224, "meta"), torch.empty(1, 1, 224, 224, device="meta"), []
    for layer in model:
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.Flatten)):
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(96, 54), (96, 26), (256, 26), (256, 12), (384, 12), (384, 12), (256, 12), (256, 5), (6400,)]


def test_two_layers_drop_units_behind_their_relu():
    names = [type(layer).__name__ for layer in alexnet(224, "meta", dropout=0.3)]
    assert names[-7:] == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    drops = [layer.p for layer in alexnet(224, "meta", dropout=0.3) if isinstance(layer, nn.Dropout)]
    assert drops == [0.3, 0.3]


def test_images_of_other_sizes():
    model = alexnet(65, "meta", channels=3)
    assert model(torch.empty(2, 3, 65, 65, device="meta")).shape == (2, 10)
