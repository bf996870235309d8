"""Residual networks (book 7.6; He et al. 2015). As in the book, convolutions have biases and 1×1 skips no norm."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

CHANNELS = (64, 128, 256, 512)  # of the four stages


class Residual(nn.Module):
    """Two 3×3 convolutions with a skip connection: [B, in, H, W] -> [B, out, H / stride, W / stride].

    The skip connection is the identity, or a 1×1 convolution if channels or size change.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(channels),
        )
        self.skip = skip(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.skip(x))


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up to four times the channels, with a skip connection: the block of deeper networks."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels * self.expansion, kernel_size=1),
            nn.BatchNorm2d(channels * self.expansion),
        )
        self.skip = skip(in_channels, channels * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.layers(x) + self.skip(x))


def skip(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the skip connection of a block: the identity, or a 1×1 convolution if the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)


# By depth: the block, and the number of blocks in each stage.
STAGES: dict[int, tuple[type[Residual | Bottleneck], tuple[int, ...]]] = {
    18: (Residual, (2, 2, 2, 2)),
    34: (Residual, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def stem_of(stem: str, channels: int) -> nn.Sequential:
    """Return the first layers: 7x7 makes the sides a quarter, 3x3 keeps them, for small images (book 13.1)."""
    if stem == "3x3":
        return nn.Sequential(nn.Conv2d(channels, 64, kernel_size=3, padding=1), nn.BatchNorm2d(64), nn.ReLU())
    return nn.Sequential(
        nn.Conv2d(channels, 64, kernel_size=7, stride=2, padding=3),  # [B, 64, 48, 48]
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),  # [B, 64, 24, 24]
    )


class ResNet(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]; ``depth`` 18, 34 or 50, ``stem`` 7x7 or 3x3.

    The shapes are those of 96×96 images and the stem 7x7, or of 24×24 images and the stem 3x3.
    """

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, depth: int, stem: str = "7x7"):
        block, counts = STAGES[depth]
        stages = []  # 24×24, 12×12, 6×6, 3×3
        in_channels = 64
        for stage, (channels, count) in enumerate(zip(CHANNELS, counts, strict=True)):
            blocks = []
            for index in range(count):
                blocks.append(block(in_channels, channels, stride=2 if stage > 0 and index == 0 else 1))
                in_channels = channels * block.expansion
            stages.append(nn.Sequential(*blocks))
        super().__init__(
            stem_of(stem, inputs[0]),
            *stages,  # [B, 512 · expansion, 3, 3]
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),  # [B, 512 · expansion]
            nn.Linear(in_channels, classes),
        )
