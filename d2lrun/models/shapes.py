"""The output sizes of convolutions and poolings (book 6.3, 6.5)."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import nn

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)  # layers that move a window over the image
LARGEST = 512  # pixels; no common network needs more


def output_side(side: int, kernel: int, stride: int = 1, padding: int | Fraction = 0) -> int:
    """Return ⌊(n − k + 2p + s) / s⌋, the number of window positions along a side of n pixels."""
    return (side - kernel + 2 * padding + stride) // stride


def window(layer: Any, axis: int = 0) -> tuple[int, int, int | Fraction]:
    """Return (kernel, stride, padding) of a convolution or pooling along the height (0) or the width (1).

    The kernel includes the dilation. A padding given as a word becomes a number: the mean of both ends if an even
    kernel has one pixel more at the second end.
    """
    kernel, stride, padding, dilation = (
        value[axis] if isinstance(value, tuple) else value
        for value in (layer.kernel_size, layer.stride, layer.padding, getattr(layer, "dilation", 1))
    )
    kernel = dilation * (kernel - 1) + 1
    if isinstance(padding, str):
        padding = Fraction(kernel - 1, 2) if padding == "same" else 0
    return kernel, stride, padding


def flattened(features: nn.Sequential, inputs: tuple[int, int, int]) -> int:
    """Return C·H·W of the output of a sequence of convolutions and poolings for images (C, H, W).

    Raises ValueError if the output is empty.
    """
    channels, *sides = inputs
    for layer in features.modules():
        if isinstance(layer, WINDOWS):
            channels = getattr(layer, "out_channels", channels)
            sides = [output_side(side, *window(layer, axis)) for axis, side in enumerate(sides)]
            if min(sides) < 1:  # checked at each layer, since a later padding would hide it
                raise ValueError("nothing is left of the images")
    return channels * sides[0] * sides[1]


def smallest_side(build: Callable[[tuple[int, int, int]], nn.Module], channels: int) -> int | None:
    """Return the least side in pixels of a square image for which ``build((C, H, W))`` works; None if none up to 512.

    The test uses two images, as in training, on the device "meta", without memory or arithmetic.
    """

    def works(side: int) -> bool:
        try:
            with torch.device("meta"):
                build((channels, side, side))(torch.empty(2, channels, side, side))
        except (RuntimeError, ValueError, AssertionError):  # torch and torchvision raise different errors
            return False
        return True

    if not works(LARGEST):
        return next((side for side in range(1, LARGEST) if works(side)), None)  # a transformer accepts only one size
    low, high = 0, LARGEST  # works at high, not at low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high
