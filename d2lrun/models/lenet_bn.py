"""LeNet with batch normalisation (book 7.5; Ioffe & Szegedy 2015). The first convolution has no padding here."""

from __future__ import annotations

from torch import nn

from d2lrun.models.activations import ACTIVATIONS
from d2lrun.models.lenet import POOLS
from d2lrun.models.shapes import flattened


class LeNetBN(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]. The shapes below are those of 28×28 images."""

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, activation: str, pool: str):
        act, pool2d = ACTIVATIONS[activation], POOLS[pool]
        features = nn.Sequential(
            nn.Conv2d(inputs[0], 6, kernel_size=5),  # [B, 6, 24, 24]
            nn.BatchNorm2d(6),
            act(),
            pool2d(kernel_size=2, stride=2),  # [B, 6, 12, 12]
            nn.Conv2d(6, 16, kernel_size=5),  # [B, 16, 8, 8]
            nn.BatchNorm2d(16),
            act(),
            pool2d(kernel_size=2, stride=2),  # [B, 16, 4, 4]
        )
        super().__init__(
            *features,
            nn.Flatten(),  # [B, 256]
            nn.Linear(flattened(features, inputs), 120),
            nn.BatchNorm1d(120),
            act(),
            nn.Linear(120, 84),
            nn.BatchNorm1d(84),
            act(),
            nn.Linear(84, classes),
        )
