from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.densenet import DenseBlock, DenseNet, Transition


def densenet(growth=32, blocks=(4, 4, 4, 4), device="cpu"):
    torch.manual_seed(0)
    with torch.device(device):
        return DenseNet(inputs=(1, 96, 96), classes=10, growth=growth, blocks=list(blocks))


def plain(model, x, blocks):
    """The forward pass in training, written out over the parameters in their order."""
    parameters = iter(model.parameters())

    def norm(x):
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        gamma, beta = (next(parameters).reshape(1, -1, 1, 1) for _ in range(2))
        return (gamma * (x - mean) / (variance + 1e-5).sqrt() + beta).clamp(min=0)

    def conv(x, padding, stride=1):
        return F.conv2d(x, next(parameters), next(parameters), stride, padding)

    x = F.max_pool2d(norm(conv(x, 3, stride=2)), 3, 2, padding=1)
    for index, count in enumerate(blocks):
        x = F.avg_pool2d(conv(norm(x), 0), 2) if index else x
        for _ in range(count):
            x = torch.cat((x, conv(norm(x), 1)), dim=1)
    logits = F.linear(norm(x).mean((2, 3)), next(parameters), next(parameters))
    assert list(parameters) == []
    return logits


@torch.no_grad()
@pytest.mark.parametrize("growth, blocks", [(32, (4, 4, 4, 4)), (5, (1, 3)), (4, (2,))])
def test_the_output_is_that_of_plain_functions(growth, blocks):
    model, x = densenet(growth, blocks).double(), torch.rand(3, 1, 64, 64, dtype=torch.float64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    torch.testing.assert_close(model(x), plain(model, x, blocks))


def test_the_shapes_on_the_way_are_those_of_the_book():
    stem, *rest = densenet(device="meta")
    x = stem(torch.empty(2, 1, 96, 96, device="meta"))
    shapes = [tuple(x.shape[1:3])]
    for part in rest:
        x = part(x)
        if isinstance(part, (DenseBlock, Transition)):
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(64, 24), (192, 24), (96, 12), (224, 12), (112, 6), (240, 6), (120, 3), (248, 3)]


def test_a_block_keeps_its_input_in_front():
    block, x = DenseBlock(3, 5, growth=2), torch.rand(2, 5, 6, 7)
    y = block(x)
    assert y.shape == (2, 5 + 3 * 2, 6, 7)
    assert torch.equal(y[:, :5], x)


def test_a_transition_halves_the_picture():
    assert Transition(6, 3)(torch.rand(2, 6, 9, 8)).shape == (2, 3, 4, 4)
