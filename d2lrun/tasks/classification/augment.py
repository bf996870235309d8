"""Augmentation of a training batch on its device (book 13.1). B batch, C channels, H height, W width.

What happens to an example is a pure function of (seed, epoch, example): a resumed run gets the same bits, and neither
the batch nor the number of threads matters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.config.keys import Augment
from d2lrun.training.chance import uniform

GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in the brightness of a pixel
ASPECT = 3.3  # of an erased rectangle: from 1 to 3.3 high or wide (Zhong et al. 2020)
AREA = (0.02, 0.33)  # of the image that an erased rectangle covers
TRIES = 16  # pairs of numbers for a number of the beta distribution


class Draws:
    """The random numbers of the examples of a batch, taken column by column."""

    COUNT = 16 + 2 * TRIES

    def __init__(self, index: Tensor, seed: int, epoch: int):
        self.columns: Iterator[Tensor] = iter(uniform(index, seed, epoch, self.COUNT).unbind(dim=1))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return the next number of each example, from ``low`` up to ``high``, float32 [B]."""
        return low + (high - low) * next(self.columns)

    def whole(self, least: int, most: int) -> Tensor:
        """Return the next whole number of each example, from ``least`` to ``most``, int64 [B]."""
        return (least + self.uniform(0, most - least + 1).floor().long()).clamp(max=most)

    def beta(self, alpha: float) -> Tensor:
        """Return a number of Beta(alpha, alpha) of each example, float32 [B]; 0 < alpha ≤ 1 (Jöhnk 1964)."""
        pairs = torch.stack([next(self.columns) for _ in range(2 * TRIES)]).clamp(min=2.0**-25)  # [2 · TRIES, B]
        x, y = (pairs.log() / alpha).view(TRIES, 2, -1).unbind(dim=1)  # logarithms: a power may vanish
        total = torch.logaddexp(x, y)
        first = (total <= 0).float().argmax(dim=0, keepdim=True)  # the first pair with x + y ≤ 1
        return (x - total).gather(0, first)[0].exp()


def augmented(images: Tensor, settings: Augment, draws: Draws) -> Tensor:
    """Return images float32 [B, C, H, W], from 0 to 1, as ``settings`` change them.

    The numbers of all steps are drawn, also of those that are off: a step does not depend on the others.
    """
    flips = draws.uniform() < 0.5
    if settings.flip:
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(3), images)
    rows, columns = draws.whole(0, 2 * settings.crop), draws.whole(0, 2 * settings.crop)
    if settings.crop:
        images = cropped(images, settings.crop, rows, columns)
    angles = draws.uniform(-settings.rotate, settings.rotate)
    shifts = draws.uniform(-settings.shift, settings.shift), draws.uniform(-settings.shift, settings.shift)
    if settings.rotate or settings.shift:
        images = moved(images, angles, *shifts)
    factors = [draws.uniform(1 - settings.jitter, 1 + settings.jitter) for _ in range(3)]
    if settings.jitter:
        images = coloured(images, *factors)
    wanted = draws.uniform() < settings.erase
    place = [draws.uniform() for _ in range(4)]
    if settings.erase:
        images = erased(images, wanted, *place)
    return images


def cropped(images: Tensor, padding: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut [H, W] out of the images padded with 0 on all sides, from ``rows`` and ``columns`` [B]."""
    count, _, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    down = rows.unsqueeze(1) + torch.arange(height, device=images.device)  # [B, H]
    across = columns.unsqueeze(1) + torch.arange(width, device=images.device)  # [B, W]
    batch = torch.arange(count, device=images.device).view(-1, 1, 1)
    cut = padded.permute(0, 2, 3, 1)[batch, down.unsqueeze(2), across.unsqueeze(1)]  # [B, H, W, C]
    return cut.permute(0, 3, 1, 2).contiguous()


def moved(images: Tensor, degrees: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Turn images by ``degrees`` [B] and shift them by shares of their size; what enters is 0."""
    height, width = images.shape[2:]
    cosine, sine = (degrees * (math.pi / 180)).cos(), (degrees * (math.pi / 180)).sin()
    rows = (cosine, -sine * height / width, -2 * right, sine * width / height, cosine, -2 * down)
    maps = torch.stack(rows, dim=1).view(-1, 2, 3)  # from the new image to the old, in coordinates from -1 to 1
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def coloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply brightness, contrast, and for three channels saturation, by factors [B], and clip to 0 to 1."""
    factors = [factor.view(-1, 1, 1, 1) for factor in (brightness, contrast, saturation)]
    images = (images * factors[0]).clamp(0, 1)
    mean = grey(images).mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + (images - mean) * factors[1]).clamp(0, 1)
    own = grey(images)
    return (own + (images - own) * factors[2]).clamp(0, 1)


def grey(images: Tensor) -> Tensor:
    """Return the brightness of each pixel, [B, 1, H, W]."""
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * images.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def erased(images: Tensor, wanted: Tensor, area: Tensor, aspect: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Set a rectangle of the ``wanted`` images [B] to 0; the other arguments [B] are from 0 up to 1."""
    height, width = images.shape[2:]
    covered = AREA[0] + (AREA[1] - AREA[0]) * area
    stretch = ((2 * aspect - 1) * math.log(ASPECT)).exp()  # height by width, from 1 / 3.3 to 3.3
    tall = ((covered * stretch).sqrt() * height).clamp(max=height)
    wide = ((covered / stretch).sqrt() * width).clamp(max=width)
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    first_row, first_column = (top * (height - tall)).unsqueeze(1), (left * (width - wide)).unsqueeze(1)
    down = (rows >= first_row) & (rows < first_row + tall.unsqueeze(1))  # [B, H]
    across = (columns >= first_column) & (columns < first_column + wide.unsqueeze(1))  # [B, W]
    inside = down.unsqueeze(2) & across.unsqueeze(1) & wanted.view(-1, 1, 1)  # [B, H, W]
    return images.masked_fill(inside.unsqueeze(1), 0.0)
