"""Augmentation of a training batch on its device (book 13.1). B batch, C channels, H height, W width.

What happens to an example is a pure function of (seed, epoch, example): a resumed run gets the same bits, and neither
the batch nor the number of threads matters.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.config.keys import Augment
from d2lrun.training.chance import uniform

GREY = (0.299, 0.587, 0.114)  # the weights of red, green and blue in the brightness of a pixel
ASPECT = 3.3  # of an erased rectangle: from 1 to 3.3 high or wide (Zhong et al. 2020)
AREA = (0.02, 0.33)  # of the image that an erased rectangle covers
MISSED = 2.0**-16  # probability that no pair of numbers gives a number of the beta distribution; then it is the first


# The numbers of an example that each step draws; mixup, the last, draws pairs, too.
DRAWN = {"flip": 1, "crop": 2, "rotate": 1, "shift": 2, "jitter": 3, "erase": 5, "mixup": 1}


def drawn(index: Tensor, settings: Augment, seed: int, epoch: int) -> dict[str, Tensor]:
    """Return the random numbers of each step that is on, from 0 up to 1, float32 [n, B].

    A step gets the same numbers whichever other steps are on.
    """
    widths = DRAWN | ({"mixup": 1 + 2 * tries(settings.mixup)} if settings.mixup else {})
    ends = dict(zip(widths, accumulate(widths.values())))
    places = {step: range(ends[step] - widths[step], ends[step]) for step in widths if getattr(settings, step)}
    numbers = uniform(index, seed, epoch, list(chain(*places.values())))
    return dict(zip(places, numbers.split([len(each) for each in places.values()])))


def augmented(images: Tensor, settings: Augment, numbers: Mapping[str, Tensor]) -> Tensor:
    """Return images float32 [B, C, H, W], from 0 to 1, as ``settings`` change them with the ``numbers`` drawn."""
    images = placed(images, settings, numbers)
    if settings.jitter:
        images = coloured(images, *between(numbers["jitter"], 1 - settings.jitter, 1 + settings.jitter))
    if settings.erase:
        wanted, *place = numbers["erase"]
        images = erased(images, wanted < settings.erase, *place)
    return images


def placed(images: Tensor, settings: Augment, numbers: Mapping[str, Tensor]) -> Tensor:
    """Flip, crop, turn and shift images, in this order; what enters is 0.

    Without turns and shifts each pixel is copied; with them all four are one interpolation.
    """
    height, width = images.shape[2:]
    none = images.new_zeros(len(images))
    flips = numbers["flip"][0] < 0.5 if settings.flip else none > 0
    rows, columns = whole(numbers["crop"], 0, 2 * settings.crop) if settings.crop else (none.long(), none.long())
    if settings.rotate or settings.shift:
        degrees = between(numbers["rotate"][0], -settings.rotate, settings.rotate) if settings.rotate else none
        right, down = between(numbers["shift"], -settings.shift, settings.shift) if settings.shift else (none, none)
        right, down = right + (settings.crop - columns) / width, down + (settings.crop - rows) / height
        return moved(images, flips, degrees, right, down)
    if settings.flip:
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(3), images)
    return cropped(images, settings.crop, rows, columns) if settings.crop else images


def mixed(
    images: Tensor, labels: Tensor, others: Tensor, other_labels: Tensor, share: Tensor, classes: int
) -> tuple[Tensor, Tensor]:
    """Return ``share`` [B] of each image and the rest of another [B, C, H, W], and their classes alike [B, K]."""
    hot, other = (F.one_hot(each, classes).to(share.dtype) for each in (labels, other_labels))
    return torch.lerp(others, images, share.view(-1, 1, 1, 1)), torch.lerp(other, hot, share.unsqueeze(1))


def between(numbers: Tensor, low: float, high: float) -> Tensor:
    """Return the numbers from 0 up to 1 as numbers from ``low`` up to ``high``."""
    return low + (high - low) * numbers


def whole(numbers: Tensor, least: int, most: int) -> Tensor:
    """Return the numbers from 0 up to 1 as whole numbers from ``least`` to ``most``, int64."""
    return (least + between(numbers, 0, most - least + 1).floor().long()).clamp(max=most)


def tries(alpha: float) -> int:
    """Return the number T of pairs of which one almost always has x + y ≤ 1; each has with Γ(1 + α)² / Γ(1 + 2α)."""
    missed = 1 - math.gamma(1 + alpha) ** 2 / math.gamma(1 + 2 * alpha)
    return max(1, math.ceil(math.log(MISSED) / math.log(max(missed, MISSED))))


def beta(numbers: Tensor, alpha: float) -> Tensor:
    """Return numbers of Beta(alpha, alpha), 0 < alpha ≤ 1, from pairs of uniform ones [2 · T, B] (Jöhnk 1964)."""
    logarithms = numbers.clamp(min=2.0**-25).log() / alpha  # a power may vanish
    x, y = logarithms.unflatten(0, (-1, 2)).unbind(dim=1)  # [T, B]
    total = torch.logaddexp(x, y)
    first = (total <= 0).float().argmax(dim=0, keepdim=True)  # the first pair with x + y ≤ 1
    return (x - total).gather(0, first)[0].exp()


def cropped(images: Tensor, padding: int, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut [H, W] out of the images padded with 0 on all sides, from ``rows`` and ``columns`` [B]."""
    count, channels, height, width = images.shape
    padded = F.pad(images, [padding] * 4)
    down = rows.unsqueeze(1) + torch.arange(height, device=images.device)  # [B, H]
    across = columns.unsqueeze(1) + torch.arange(width, device=images.device)  # [B, W]
    places = (down * padded.shape[3]).unsqueeze(2) + across.unsqueeze(1)  # [B, H, W]
    return padded.flatten(2).gather(2, places.view(count, 1, -1).expand(-1, channels, -1)).view_as(images)


def moved(images: Tensor, flips: Tensor, degrees: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Flip images, and then turn them by ``degrees`` [B] and shift them by shares of their size."""
    height, width = images.shape[2:]
    angles = (degrees * (math.pi / 180)).view(-1, 1, 1)
    cosine, sine, sign = angles.cos(), angles.sin(), (1 - 2 * flips.float()).view(-1, 1, 1)
    y, x = (
        (2 * torch.arange(size, device=images.device) + 1) / size - 1  # centres of pixels, from -1 to 1
        for size in (height, width)
    )
    # From the new image to the old: [B, 1, W] + [B, H, 1]
    across = sign * cosine * x - sign * (sine * (height / width) * y.view(-1, 1) + 2 * right.view(-1, 1, 1))
    along = sine * (width / height) * x + (cosine * y.view(-1, 1) - 2 * down.view(-1, 1, 1))
    return F.grid_sample(images, torch.stack((across, along), dim=3), align_corners=False)


def coloured(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor) -> Tensor:
    """Multiply brightness, contrast, and for three channels saturation, by factors [B], and clip to 0 to 1."""
    factors = [factor.view(-1, 1, 1, 1) for factor in (brightness, contrast, saturation)]
    colours = images.shape[1] == 3
    images = (images * factors[0]).clamp_(0, 1)
    mean = (grey(images) if colours else images).mean(dim=(1, 2, 3), keepdim=True)
    images.sub_(mean).mul_(factors[1]).add_(mean).clamp_(0, 1)
    if colours:
        own = grey(images)
        images.sub_(own).mul_(factors[2]).add_(own).clamp_(0, 1)
    return images


def grey(images: Tensor) -> Tensor:
    """Return the brightness of each pixel of images [B, 3, H, W], [B, 1, H, W]."""
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
    kept = ~(down.unsqueeze(2) & (across & wanted.unsqueeze(1)).unsqueeze(1))  # [B, H, W]
    return images * kept.unsqueeze(1)
