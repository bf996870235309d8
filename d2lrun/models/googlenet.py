"""GoogLeNet (book 7.4; Szegedy et al. 2014): Inception blocks of four parallel paths."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Convolution(nn.Sequential):
    """A convolution that keeps the size, batch normalisation if ``batch_norm``, and ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, batch_norm: bool, stride: int = 1):
        norm = [nn.BatchNorm2d(out_channels)] if batch_norm else []
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2), *norm, nn.ReLU()
        )


class Inception(nn.Module):
    """[B, in, H, W] -> [B, c1 + c2[1] + c3[1] + c4, H, W]: the concatenated channels of four paths.

    1×1; 1×1 then 3×3; 1×1 then 5×5; 3×3 pooling then 1×1.
    """

    def __init__(
        self, in_channels: int, c1: int, c2: tuple[int, int], c3: tuple[int, int], c4: int, batch_norm: bool = False
    ):
        super().__init__()
        self.path1 = Convolution(in_channels, c1, 1, batch_norm)
        self.path2 = nn.Sequential(
            Convolution(in_channels, c2[0], 1, batch_norm), Convolution(c2[0], c2[1], 3, batch_norm)
        )
        self.path3 = nn.Sequential(
            Convolution(in_channels, c3[0], 1, batch_norm), Convolution(c3[0], c3[1], 5, batch_norm)
        )
        self.path4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), Convolution(in_channels, c4, 1, batch_norm)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.path1(x), self.path2(x), self.path3(x), self.path4(x)), dim=1)


class GoogLeNet(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]. The shapes below are for 96×96 images.

    The book's network has no batch normalisation (``batch_norm`` adds it) and no auxiliary heads.
    """

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, batch_norm: bool):
        def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Module:
            return Convolution(in_channels, out_channels, kernel_size, batch_norm, stride)

        def inception(in_channels: int, c1: int, c2: tuple[int, int], c3: tuple[int, int], c4: int) -> nn.Module:
            return Inception(in_channels, c1, c2, c3, c4, batch_norm)

        def halve() -> nn.Module:
            return nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

        super().__init__(
            nn.Sequential(conv(inputs[0], 64, 7, stride=2), halve()),  # [B, 64, 24, 24]
            nn.Sequential(conv(64, 64, 1), conv(64, 192, 3), halve()),  # [B, 192, 12, 12]
            nn.Sequential(
                inception(192, 64, (96, 128), (16, 32), 32),  # [B, 256, 12, 12]
                inception(256, 128, (128, 192), (32, 96), 64),  # [B, 480, 12, 12]
                halve(),  # [B, 480, 6, 6]
            ),
            nn.Sequential(
                inception(480, 192, (96, 208), (16, 48), 64),  # [B, 512, 6, 6]
                inception(512, 160, (112, 224), (24, 64), 64),
                inception(512, 128, (128, 256), (24, 64), 64),
                inception(512, 112, (144, 288), (32, 64), 64),  # [B, 528, 6, 6]
                inception(528, 256, (160, 320), (32, 128), 128),  # [B, 832, 6, 6]
                halve(),  # [B, 832, 3, 3]
            ),
            nn.Sequential(
                inception(832, 256, (160, 320), (32, 128), 128),
                inception(832, 384, (192, 384), (48, 128), 128),  # [B, 1024, 3, 3]
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),  # [B, 1024]
            ),
            nn.Linear(1024, classes),
        )
