"""Arrays of pixels, in the shapes and types that people have. n images, C channels, H height, W width."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from d2lrun.disk.given import array
from d2lrun.errors import Refused

CHANNELS = (1, 3)
WANTED = "an array or tensor [n, H, W], [n, C, H, W] or [n, H, W, C], uint8 or from 0 to 1"


def as_pixels(images: Any, what: str = "images") -> Tensor:
    """Return images as uint8 [n, C, H, W] on the CPU; raises Refused for other shapes or values.

    Numbers with a point are from 0 to 1, others from 0 to 255; False is black and True white.
    """
    found = array(images, what, WANTED)
    if found.dtype.kind not in "biuf":
        raise Refused(f"{what}: no array of pixels: it has values of the type {found.dtype}", f"give {WANTED}")
    pixels = torch.from_numpy(found.astype("float32") if found.dtype.kind == "b" else found)
    shape = list(pixels.shape)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(1)  # [n, 1, H, W]
    if pixels.ndim == 4 and pixels.shape[1] not in CHANNELS:
        pixels = pixels.permute(0, 3, 1, 2)  # [n, C, H, W]
    if pixels.ndim != 4 or pixels.shape[1] not in CHANNELS or 0 in pixels.shape[1:]:
        raise Refused(f"{what}: an array of the shape {shape}", f"give {WANTED}")
    return eight_bits(pixels, what)


def eight_bits(pixels: Tensor, what: str) -> Tensor:
    """Return pixels as uint8; raises Refused for values outside their range."""
    if pixels.dtype == torch.uint8 or not pixels.numel():
        return pixels.to(torch.uint8)
    most = 1 if pixels.is_floating_point() else 255
    pixels = pixels if most == 1 else pixels.to(torch.int64)  # 255 is no int8, and torch compares no uint16
    if not bool(((pixels >= 0) & (pixels <= most)).all()):
        low, high = pixels.min().item(), pixels.max().item()
        hint = "give pixels before they are normalised: dataset.normalise=standard does it"
        raise Refused(f"{what}: pixels from {low:g} to {high:g}, wanted 0 to {most}", hint)
    return (pixels * 255).round().to(torch.uint8) if most == 1 else pixels.to(torch.uint8)
