"""Network in Network (book 7.3; Lin et al. 2013): 1×1 convolutions instead of fully connected layers."""

from __future__ import annotations

from torch import nn


class NiNBlock(nn.Sequential):
    """A convolution and two 1×1 convolutions, each with ReLU: a small perceptron at every pixel.

    Without ``final_relu`` the last 1×1 convolution has no ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        final_relu: bool = True,
    ):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.ReLU() if final_relu else nn.Identity(),
        )


class NiN(nn.Sequential):
    """Images [B, C, H, W] -> logits [B, classes]. The shapes below are for 224×224 images.

    The book also has a ReLU on the logits (``final_relu``). A class whose logit is below 0 for every image then gets
    no gradient, and about one run in five stays at chance.
    """

    def __init__(self, *, inputs: tuple[int, int, int], classes: int, dropout: float, final_relu: bool):
        super().__init__(
            NiNBlock(inputs[0], 96, kernel_size=11, stride=4),  # [B, 96, 54, 54]
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 96, 26, 26]
            NiNBlock(96, 256, kernel_size=5, padding=2),  # [B, 256, 26, 26]
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 256, 12, 12]
            NiNBlock(256, 384, kernel_size=3, padding=1),  # [B, 384, 12, 12]
            nn.MaxPool2d(kernel_size=3, stride=2),  # [B, 384, 5, 5]
            nn.Dropout(dropout),
            NiNBlock(384, classes, kernel_size=3, padding=1, final_relu=final_relu),  # [B, classes, 5, 5]
            nn.AdaptiveAvgPool2d(1),  # [B, classes, 1, 1]
            nn.Flatten(),  # [B, classes]
        )
