"""LeNet (book 6.6; LeCun et al. 1998), with the book's sigmoid and average pooling by default."""

from __future__ import annotations

from torch import nn

from d2lrun.models.activations import ACTIVATIONS
from d2lrun.models.shapes import flattened

POOLS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


class LeNet(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]. The shapes below are those of 28×28 images."""

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, activation: str, pool: str):
        act, pool2d = ACTIVATIONS[activation], POOLS[pool]
        features = nn.Sequential(
            nn.Conv2d(inputs[0], 6, kernel_size=5, padding=2),  # [B, 6, 28, 28]
            act(),
            pool2d(kernel_size=2, stride=2),  # [B, 6, 14, 14]
            nn.Conv2d(6, 16, kernel_size=5),  # [B, 16, 10, 10]
            act(),
            pool2d(kernel_size=2, stride=2),  # [B, 16, 5, 5]
        )
        super().__init__(
            *features,
            nn.Flatten(),  # [B, 400]
            nn.Linear(flattened(features, inputs), 120),
            act(),
            nn.Linear(120, 84),
            act(),
            nn.Linear(84, classes),
        )
