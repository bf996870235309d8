"""Densely connected networks (book 7.7; Huang et al. 2016): a layer takes the outputs of all layers before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalised(nn.Sequential):
    """Batch normalisation and ReLU before a convolution, as in the second version of residual networks."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2),
        )


class DenseBlock(nn.ModuleList):
    """``layers`` 3×3 convolutions, each adding ``growth`` channels: [B, C, H, W] -> [B, C + layers · growth, H, W]."""

    def __init__(self, layers: int, in_channels: int, growth: int):
        super().__init__(Normalised(in_channels + index * growth, growth, kernel_size=3) for index in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = torch.cat((x, layer(x)), dim=1)
        return x


class Transition(nn.Sequential):
    """A 1×1 convolution and pooling between dense blocks: [B, in, H, W] -> [B, out, H/2, W/2]."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            Normalised(in_channels, out_channels, kernel_size=1),
            nn.AvgPool2d(kernel_size=2, stride=2),
        )


class DenseNet(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes].

    ``blocks`` is the number of layers of each dense block; between two blocks, the channels and the image size are
    halved. The shapes below are for 96×96 images and the book's four blocks of four layers, growth 32.
    """

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, growth: int, blocks: list[int]):
        stem = nn.Sequential(
            nn.Conv2d(inputs[0], 64, kernel_size=7, stride=2, padding=3),  # [B, 64, 48, 48]
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # [B, 64, 24, 24]
        )
        dense: list[nn.Module] = []  # channels 192, 96, 224, 112, 240, 120, 248
        channels = 64
        for index, layers in enumerate(blocks):
            if index > 0:
                dense.append(Transition(channels, channels // 2))
                channels //= 2
            dense.append(DenseBlock(layers, channels, growth))
            channels += layers * growth
        super().__init__(
            stem,
            *dense,  # [B, 248, 3, 3]
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # [B, 248]
            nn.Linear(channels, classes),
        )
