from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.googlenet import GoogLeNet, Inception

# The channels of the nine Inception blocks: 1×1; 1×1, 3×3; 1×1, 5×5; 1×1 behind the pooling.
BLOCKS = [
    *((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    *((192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64)),
    *((112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128)),
    *((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
]
POOLED = (2, 7)  # after so many blocks the picture is halved


def googlenet(batch_norm=False, device="cpu"):
    torch.manual_seed(0)
    with torch.device(device):
        return GoogLeNet(inputs=(1, 96, 96), classes=10, batch_norm=batch_norm)


def plain(model, x, batch_norm):
    """The forward pass in training, written out over the parameters in their order."""
    parameters = iter(model.parameters())

    def conv(x, channels, padding=0, stride=1):
        x = F.conv2d(x, next(parameters), next(parameters), stride, padding)
        assert x.shape[1] == channels
        if batch_norm:
            mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
            gamma, beta = (next(parameters).reshape(1, -1, 1, 1) for _ in range(2))
            x = gamma * (x - mean) / (variance + 1e-5).sqrt() + beta
        return x.clamp(min=0)

    def halve(x):
        return F.max_pool2d(x, 3, 2, padding=1)

    x = halve(conv(x, 64, padding=3, stride=2))
    x = halve(conv(conv(x, 64), 192, padding=1))
    for done, (c1, c2, c3, c4, c5, c6) in enumerate(BLOCKS, start=1):
        paths = [conv(x, c1), conv(conv(x, c2), c3, padding=1), conv(conv(x, c4), c5, padding=2)]
        x = torch.cat([*paths, conv(F.max_pool2d(x, 3, 1, padding=1), c6)], dim=1)
        x = halve(x) if done in POOLED else x
    logits = F.linear(x.mean((2, 3)), next(parameters), next(parameters))
    assert list(parameters) == []
    return logits


@torch.no_grad()
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_output_is_that_of_plain_functions(batch_norm):
    model = googlenet(batch_norm).double()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    x = torch.rand(3, 1, 96, 96, dtype=torch.float64)
    torch.testing.assert_close(model(x), plain(model, x, batch_norm))


def test_the_shapes_on_the_way_are_those_of_the_book():
    x, shapes = torch.empty(1, 1, 96, 96, device="meta"), []
    for part in googlenet(device="meta"):
        x = part(x)
        shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(64, 24), (192, 12), (480, 6), (832, 3), (1024,), (10,)]


def test_every_convolution_is_normalised_or_none():
    for batch_norm, count in ((False, 0), (True, 57)):
        modules = list(googlenet(batch_norm, "meta").modules())
        assert sum(isinstance(module, nn.BatchNorm2d) for module in modules) == count
        assert sum(isinstance(module, nn.Conv2d) for module in modules) == 57


def test_a_block_by_itself():
    block = Inception(5, 2, (3, 4), (2, 3), 6)
    assert block(torch.rand(2, 5, 7, 9)).shape == (2, 2 + 4 + 3 + 6, 7, 9)
