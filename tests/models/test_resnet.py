from __future__ import annotations

import pytest
import torch
from torch import nn

from d2lrun.models.resnet import STAGES, Bottleneck, Residual, ResNet
from d2lrun.models.vision import torchvision

DEPTHS = (18, 34, 50)


def resnet(depth=18, side=96, device="cpu"):
    torch.manual_seed(0)
    with torch.device(device):
        return ResNet(inputs=(1, side, side), classes=10, depth=depth)


def layers(model):
    """Those that hold parameters, in order."""
    return [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]


def torchvisions(model, depth):
    """torchvision's network as the book has it, with the very parameters of ``model``.

    The book's convolutions have biases, its skips no normalisation, its images one channel.
    """
    theirs = torchvision.models.get_model(f"resnet{depth}", weights=None, num_classes=10)
    for module in theirs.modules():
        if getattr(module, "downsample", None) is not None:
            module.downsample = module.downsample[0]
    for own, other in zip(layers(model), layers(theirs), strict=True):
        assert type(own) is type(other)
        other.weight, other.bias = own.weight, own.bias
    return theirs.double()


def test_every_depth_is_seen():
    assert set(STAGES) == set(DEPTHS)


@torch.no_grad()
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_output_is_that_of_torchvisions_network(depth):
    model, x = resnet(depth).double(), torch.rand(4, 1, 64, 64, dtype=torch.float64)
    for module in layers(model):
        nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    theirs = torchvisions(model, depth)
    for _ in range(2):
        torch.testing.assert_close(model(x), theirs(x))  # by the batch, and the running statistics follow
    torch.testing.assert_close(model.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_depth_counts_the_layers_with_weights_beside_the_skips(depth):
    named = resnet(depth, device="meta").named_modules()
    weighty = [name for name, module in named if isinstance(module, (nn.Conv2d, nn.Linear)) and "skip" not in name]
    assert len(weighty) == depth


@pytest.mark.parametrize("depth, width", [(18, 1), (34, 1), (50, 4)])
def test_the_shapes_on_the_way_are_those_of_the_book(depth, width):
    x, shapes = torch.empty(2, 1, 96, 96, device="meta"), []
    for part in resnet(depth, device="meta"):
        x = part(x)
        shapes.append(tuple(x.shape[1:3]))
    stages = [(64 * width, 24), (128 * width, 12), (256 * width, 6), (512 * width, 3)]
    assert shapes == [(64, 24), *stages, (512 * width, 1), (512 * width,), (10,)]


def test_the_small_stem_keeps_the_sides():
    with torch.device("meta"):
        model, x = ResNet(inputs=(3, 32, 32), classes=10, depth=18, stem="3x3"), torch.empty(2, 3, 32, 32)
    sides = []
    for part in list(model)[:5]:
        x = part(x)
        sides.append(x.shape[-1])
    assert sides == [32, 32, 16, 8, 4]


@pytest.mark.parametrize("block", [Residual, Bottleneck])
@pytest.mark.parametrize("stride, shape", [(1, (7, 9)), (2, (4, 5))])
def test_a_block_by_itself(block, stride, shape):
    model, x = block(8, 6, stride), torch.rand(2, 8, 7, 9)
    assert model(x).shape == (2, 6 * block.expansion, *shape)


@pytest.mark.parametrize("block, channels", [(Residual, 8), (Bottleneck, 2)])
def test_a_block_whose_layers_add_nothing_passes_its_input_on(block, channels):
    model, x = block(8, channels), torch.rand(2, 8, 5, 5)
    assert isinstance(model.skip, nn.Identity)
    nn.init.zeros_(model.layers[-1].weight)
    assert torch.equal(model(x), x)
