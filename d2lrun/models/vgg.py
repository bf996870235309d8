"""VGG (book 7.2; Simonyan & Zisserman 2014): blocks of 3×3 convolutions; each block halves the image size."""

from __future__ import annotations

from torch import nn

from d2lrun.models.shapes import flattened

CHANNELS = (64, 128, 256, 512, 512)  # of the five blocks, before the ratio
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # by depth


class VGGBlock(nn.Sequential):
    """``convolutions`` times 3×3 and ReLU, then pooling: [B, in, H, W] -> [B, out, H/2, W/2]."""

    def __init__(self, convolutions: int, in_channels: int, out_channels: int):
        layers: list[nn.Module] = []
        for _ in range(convolutions):
            layers += [nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1), nn.ReLU()]
            in_channels = out_channels
        super().__init__(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


class VGG(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes].

    ``depth`` is the number of layers with weights: 11, 13, 16 or 19. The channels of the blocks are divided by
    ``ratio``; the book trains ratio 4. The blocks reduce 224×224 images to 112, 56, 28, 14, 7.
    """

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, depth: int, ratio: int, dropout: float):
        blocks = nn.Sequential()
        in_channels = inputs[0]
        for convolutions, channels in zip(CONVOLUTIONS[depth], CHANNELS, strict=True):
            blocks.append(VGGBlock(convolutions, in_channels, channels // ratio))
            in_channels = channels // ratio
        super().__init__(
            *blocks,
            nn.Flatten(),  # [B, 512 / ratio · 7 · 7]
            nn.Linear(flattened(blocks, inputs), 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )
