"""From an image to the input of a network, and the record of it in a run. B batch, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.disk import files
from d2lrun.disk.kinds import every, maybe, number, record, text
from d2lrun.disk.rundir import RunDirectory
from d2lrun.models import inputs

CHUNK = 1 << 12  # images whose pixels are summed at a time


class Statistics(NamedTuple):
    """The mean and the standard deviation of the pixels of each channel, on a scale from 0 to 1."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


IMAGENET = Statistics(*inputs.IMAGENET)


@dataclass(frozen=True)
class Preparation:
    """How an image file becomes a stored image, uint8 [C, H, W], and this the input of a network."""

    stored: tuple[int, int, int]  # (C, H, W) of the stored images
    resize: int | None = None  # side of the network's input in pixels; None: as stored
    channels: int | None = None  # channels of the network's input; None: as stored
    statistics: Statistics | None = None  # what is taken out of each channel
    framing: str = "pad"  # how a file of other proportions is stored: pad, crop or stretch
    dark: bool = True  # whether the background of the training images is dark

    @property
    def inputs(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        channels, height, width = self.stored
        return self.channels or channels, self.resize or height, self.resize or width

    def __call__(self, images: Tensor) -> Tensor:
        """Return the network's input for stored images uint8 [B, C, H, W]: float32 of the shape ``inputs``."""
        return self.normalised(self.scaled(images))

    def scaled(self, images: Tensor) -> Tensor:
        """Return stored images uint8 [B, C, H, W] as float32 from 0 to 1 of the shape ``inputs``."""
        scaled = scale(images)
        if self.resize is not None:
            scaled = resized(scaled, self.resize)
        return scaled.expand(-1, self.channels or -1, -1, -1)

    def normalised(self, images: Tensor) -> Tensor:
        """Return images float32 [B, C, H, W] with the mean and deviation of each channel taken out."""
        if self.statistics is None:
            return images
        mean, deviation = (images.new_tensor(values).view(1, -1, 1, 1) for values in self.statistics)
        return (images - mean) / deviation


def measured(images: Tensor, index: Tensor) -> Statistics:
    """Return the mean and deviation of each channel of the images ``index`` [n]: exact sums, in any order."""
    totals = torch.zeros(2, images.shape[1], dtype=torch.int64, device=images.device)
    for part in index.to(images.device).split(CHUNK):
        pixels = images.index_select(0, part).long()  # [n, C, H, W]
        totals += torch.stack((pixels.sum(dim=(0, 2, 3)), pixels.square().sum(dim=(0, 2, 3))))
    count = len(index) * images.shape[2] * images.shape[3]
    means, squares = ((total.double() / count).cpu() for total in totals)
    deviations = (squares - means.square()).clamp(min=0).sqrt()
    deviations[deviations == 0] = 255.0  # a constant channel stays as it is
    return Statistics(tuple((means / 255).tolist()), tuple((deviations / 255).tolist()))


def scale(images: Tensor) -> Tensor:
    """Convert uint8 0…255 to float32 0…1; on the CPU with the same bits as torchvision's ToTensor."""
    return images.to(torch.float32).div_(255)


def resized(images: Tensor, side: int) -> Tensor:
    """Resize images [B, C, H, W] to [B, C, side, side], bilinear and with antialiasing like PIL's resize."""
    if images.shape[-2:] == (side, side):
        return images
    smooth = side < max(images.shape[-2:])  # antialiasing changes nothing if images grow, and costs time
    return F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=smooth)


# --- the record of a run ---------------------------------------------------------------------------------------------

IS_RECORD = record(
    {
        "classes": every(text),
        "stored": lambda value: every(number)(value) and len(value) == 3,
        "resize": maybe(number),
        "channels": maybe(number),
        "statistics": maybe(every(every(number))),
        "framing": text,
        "dark": lambda value: isinstance(value, bool),
    }
)


def write(directory: RunDirectory, classes: Sequence[str], preparation: Preparation) -> None:
    """Write classes.json: the class of each output, and how an image becomes an input."""
    files.write_json(directory.classes_file, {"classes": list(classes), **asdict(preparation)})


def read(directory: RunDirectory) -> tuple[tuple[str, ...], Preparation] | None:
    """Return the classes and the preparation of a run; None for a run of an earlier version. Raises Refused."""
    content = files.read_record(directory.classes_file, IS_RECORD)
    if content is None:
        return None
    known = Preparation(tuple(content["stored"]), content["resize"], content["channels"])
    statistics = content["statistics"] and Statistics(*map(tuple, content["statistics"]))
    known = replace(known, statistics=statistics, framing=content["framing"], dark=content["dark"])
    return tuple(content["classes"]), known
