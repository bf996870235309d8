"""Convert image files to images like the training images."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk import files
from d2lrun.errors import Refused

# PIL warns of a damaged image and continues. The filters of warnings belong to the process and not to a thread, so
# they cannot be changed for one image.
warnings.filterwarnings("ignore", module=r"PIL\.")

FINER = 2  # a large JPEG is decoded with at least so many pixels for each that is stored, along a side


def read_image(path: Path, channels: int = 1, side: int | None = None) -> Any:
    """Read a file as an upright PIL image, grey or with three colours. Raises Refused if it is no image.

    Transparency counts as white. Of an animation, the first image is read. A large JPEG is decoded at the smallest of
    its sizes (1, 1/2, 1/4, 1/8) whose sides are at least ``FINER`` times ``side`` pixels, which is several times as
    fast; None: at its own.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open(path, "rb", opener=files.regular) as opened, Image.open(opened) as file:
            refuse_huge(file)
            wide = ";16" in str(file.tile) and not file.mode.startswith(
                "I"
            )  # 16 bits per channel; with several channels PIL keeps only the upper 8
            if side is not None:
                file.draft(None, (FINER * side, FINER * side))  # formats other than JPEG ignore it
            image = upright(file)
        if wide and max(high for _, high in image.convert("RGB").getextrema()) < 16:
            raise ValueError("of its 16 bits a channel the upper 4 are unused; save it with 8 bits a channel")
    except FileNotFoundError:
        raise Refused(f"{path}: no such file", "give the image files after the run's directory") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders of foreign bytes can raise anything
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its content has no known format" if unknown else str(error) or type(error).__name__
        raise Refused(f"{path} is not an image that can be read: {reason}", "PNG, JPEG, … are read") from error
    return flattened(image, channels)


def upright(image: Any) -> Any:
    """Return a PIL image upright, with 8 bits a channel: grey, RGB or RGBA. Reads its pixels."""
    from PIL import ImageOps

    image = eight_bits(ImageOps.exif_transpose(image))
    return image.convert(image.mode if is_opaque(image) else "RGBA")


def flattened(image: Any, channels: int) -> Any:
    """Return an upright PIL image as grey or with three colours; transparency counts as white."""
    from PIL import Image

    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def refuse_huge(image: Any) -> None:
    """Raise ValueError for more pixels than PIL takes without a warning: a small file may hold a huge image."""
    from PIL import Image

    most = Image.MAX_IMAGE_PIXELS
    if most is not None and image.width * image.height > most:
        given = f"{image.width:,} × {image.height:,} pixels"
        raise ValueError(f"{given}, wanted at most {most:,}: it may be a decompression bomb")


def is_opaque(image: Any) -> bool:
    """Whether a PIL image is grey or has three colours, and no transparency: most are, and need no white below them."""
    return image.mode in ("L", "RGB") and "transparency" not in image.info


def eight_bits(image: Any) -> Any:
    """Convert a PIL image of integers with more than 8 bits, or of floats, to 8 bits; return others unchanged.

    The range of the values determines which value is white. Floats in [0, 1] or [−1, 1] are scaled from this range. All
    other values are scaled from 0 to 2ⁿ − 1 with the smallest n of 8, 12, 16, 20, … that holds them, so 12 bits in a
    file of 16 bits are detected. Only a nearly black image of 16 bits is scaled wrongly. Raises ValueError for values
    that are negative or not finite.
    """
    from PIL import Image

    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image, dtype=np.float64)
    low, high = values.min(), values.max()
    if not np.isfinite((low, high)).all():
        raise ValueError("some of its values are not finite")
    if image.mode == "F" and low >= -1 and high <= 1:
        black, white = (-1 if low < 0 else 0), 1
    elif low >= 0:
        black, white = 0, 2 ** max(8, -(-int(high).bit_length() // 4) * 4) - 1
    else:
        raise ValueError(f"its values go from {low:g} to {high:g}; wanted 0 or more, or floats from −1 to 1")
    return Image.fromarray(((values - black) * (255 / (white - black))).round().clip(0, 255).astype(np.uint8))


def remark(image: Any, inverted: bool) -> str:
    """Return a remark on how a PIL image was read; empty if there is none."""
    low, high = image.convert("L").getextrema()
    constant = [f"every pixel is {low} of 255"] if low == high else []
    return ", ".join([*constant, *(["inverted"] if inverted else [])])


def inverts(image: Any, invert: str, dark: bool) -> bool:
    """Whether to invert a PIL image; "auto" inverts it if its border is light and the training images are ``dark``."""
    grey = image.convert("L")
    border = torch.tensor([grey.getpixel(at) for at in corners(image.size)], dtype=torch.float32)
    return invert == "yes" or (invert == "auto" and dark and bool(border.median() > 127))


def fit_image(image: Any, shape: tuple[int, int, int], framing: str) -> Tensor:
    """Fit a PIL image of any size and with C channels into uint8 [C, H, W].

    pad: keep its proportions and fill up with black. crop: keep its proportions and cut off what is outside the middle.
    stretch: change its proportions.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    how = Image.Resampling.BILINEAR
    if framing == "pad":
        image = ImageOps.pad(image, (width, height), how, color=0)
    elif framing == "crop":
        image = ImageOps.fit(image, (width, height), how)
    else:
        image = image.resize((width, height), how)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(height, width, channels).permute(2, 0, 1).contiguous()  # [C, H, W]


def corners(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the positions of the four corners and of the middles of the four sides."""
    right, bottom = size[0] - 1, size[1] - 1
    xs, ys = (0, right // 2, right), (0, bottom // 2, bottom)
    return [(x, y) for x in xs for y in ys if (x, y) != (right // 2, bottom // 2) or min(size) < 3]
