from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.vgg import CONVOLUTIONS, VGG, VGGBlock
from d2lrun.models.vision import torchvision

# torchvision's own lists of layers: the channels of a convolution, or "M" for a pooling.
PAPER = {depth: torchvision.models.vgg.cfgs[key] for depth, key in ((11, "A"), (13, "B"), (16, "D"), (19, "E"))}


def vgg(side, depth=11, ratio=4, device="cpu", dropout=0.5):
    torch.manual_seed(0)
    with torch.device(device):
        return VGG(inputs=(1, side, side), classes=10, depth=depth, ratio=ratio, dropout=dropout)


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("ratio, count", [(4, 43_093_322), (1, 128_806_154)])
def test_parameters_are_those_of_the_book(ratio, count):
    assert size(vgg(224, ratio=ratio, device="meta")) == count


def test_every_depth_is_seen():
    assert set(CONVOLUTIONS) == set(PAPER)


@pytest.mark.parametrize("depth", PAPER)
def test_the_depth_counts_the_layers_with_weights(depth):
    layers = [layer for layer in vgg(224, depth, device="meta").modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


@pytest.mark.parametrize("depth", PAPER)
def test_in_full_it_has_the_parameters_of_torchvisions(depth):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"vgg{depth}", weights=None, num_classes=10)
    one_channel_less = 2 * 64 * 9  # of three, in the first convolution
    assert size(vgg(224, depth, ratio=1, device="meta")) == size(theirs) - one_channel_less


@pytest.mark.parametrize("depth", PAPER)
def test_the_output_is_that_of_plain_functions(depth):
    model, x = vgg(64, depth, ratio=8).eval(), torch.rand(2, 1, 64, 64)
    parameters = iter(model.parameters())
    with torch.no_grad():
        found = model(x)
        for layer in PAPER[depth]:
            if layer == "M":
                x = F.max_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(x, next(parameters), next(parameters), padding=1))
                assert x.shape[1] == layer / 8
        x = x.reshape(2, -1)
        for _ in range(2):
            x = F.relu(F.linear(x, next(parameters), next(parameters)))
        x = F.linear(x, next(parameters), next(parameters))
    assert list(parameters) == []
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-6)


def test_the_shapes_on_the_way_are_those_of_the_book():
    model, x, shapes = vgg(224, device="meta"), torch.empty(1, 1, 224, 224, device="meta"), []
    for layer in model:
        x = layer(x)
        if isinstance(layer, (VGGBlock, nn.Flatten)):
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(16, 112), (32, 56), (64, 28), (128, 14), (128, 7), (6272,)]


def test_two_layers_drop_units():
    assert [layer.p for layer in vgg(224, device="meta", dropout=0.2) if isinstance(layer, nn.Dropout)] == [0.2, 0.2]
