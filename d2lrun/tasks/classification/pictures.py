"""Sheets of images: the predictions of a trained network, and the samples of a dataset.

A sheet is one numpy array; matplotlib only adds the text, since 40 axes would take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrun.counts import counted
from d2lrun.report.figure import DPI, INK, new_figure, save

if TYPE_CHECKING:
    from torch import Tensor

ACROSS = 10  # images in a row
SHOWN = 20  # images in each half of the predictions
TILE = 112  # pixels of an image's longer side: 4 × 28
PITCH = 160  # pixels from one image to the next, across
MARGIN = 30
EDGE = 6  # pixels of a frame
LINE = 22  # pixels from one line of text to the next
ROW = TILE + 2 * LINE + 40  # pixels from one image to the next, down, with two lines below each
HEADING = 54
RED, GREEN = "#D62728", "#1A7F37"
LETTERS = 12  # most letters of a class name below an image, beside a probability
MOST = 20  # most classes on a sheet of samples


class Sheet:
    """A white picture of ``height`` × ``width`` pixels for images and text; y counts downwards."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.pixels = np.full((height, width, 3), 255, dtype=np.uint8)
        self.words: list[tuple[float, float, str, dict[str, Any]]] = []

    def paste(self, image: Tensor, y: int, x: int, frame: str = "") -> None:
        """Put an image uint8 [C, H, W] into the tile at (y, x), with a ``frame`` of a #rrggbb colour."""
        tile = fit_tile(image)  # [H, W, 3]
        height, width = tile.shape[:2]
        y, x = y + (TILE - height) // 2, x + (TILE - width) // 2
        if frame:
            outside = self.pixels[y - EDGE : y + height + EDGE, x - EDGE : x + width + EDGE]
            outside[:] = list(bytes.fromhex(frame[1:]))
        self.pixels[y : y + height, x : x + width] = tile

    def write(self, y: float, x: float, text: str, **style: Any) -> None:
        """Write ``text`` with its middle at height ``y`` and its left end at ``x``."""
        self.words.append((y, x, text, {"size": 15, "color": INK, "va": "center", **style}))

    def save(self, path: str | Path) -> None:
        """Write the sheet as PNG, pixel for pixel."""
        figure = new_figure(self.width, self.height)
        figure.figimage(self.pixels, origin="upper")
        for y, x, text, style in self.words:
            points = float(style["size"]) * 72 / DPI
            figure.text(x / self.width, 1 - y / self.height, text, **{**style, "size": points})
        save(figure, path)


def draw_predictions(
    path: str | Path, images: Tensor, labels: Tensor, probabilities: Tensor, classes: Sequence[str]
) -> None:
    """Write a PNG: at the top the first 20 images, below them the 20 errors with the highest confidence.

    Test images uint8 [N, C, H, W], labels [N], probabilities [N, K]. Below each image are its label and the
    prediction with its probability; errors have a red frame and ✗.
    """
    confidence, predicted = (column.cpu() for column in probabilities.max(dim=1))  # [N], [N]
    labels = labels.cpu()
    wrong = (predicted != labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:SHOWN].tolist()
    first = list(range(min(SHOWN, len(labels))))
    right = len(labels) - len(wrong)
    titles = [
        f"The first {counted(len(first), 'test image')}, label and prediction ({right:,} of {len(labels):,} right)",
        f"The {len(worst)} most confident of {len(wrong):,} errors" if worst else "No errors",
    ]
    height = MARGIN + sum(HEADING + rows(half) * ROW for half in (first, worst))
    sheet = Sheet(height, 2 * MARGIN + ACROSS * PITCH)
    top = MARGIN
    for title, half in zip(titles, (first, worst), strict=True):
        sheet.write(top + 12, MARGIN, title, size=22, weight="bold")
        for place, n in enumerate(half):
            y, x = top + HEADING + place // ACROSS * ROW, MARGIN + place % ACROSS * PITCH
            truth, guess = classes[int(labels[n])], classes[int(predicted[n])]
            add_prediction(sheet, y, x, images[n], truth, guess, confidence[n].item())
        top += HEADING + rows(half) * ROW
    sheet.save(path)


def add_prediction(sheet: Sheet, y: int, x: int, image: Tensor, truth: str, guess: str, confidence: float) -> None:
    """Add one image at (y, x) with its label and its prediction."""
    sign, color, frame = ("✓", GREEN, "") if guess == truth else ("✗", RED, RED)
    sheet.paste(image, y, x, frame)
    sheet.write(y + TILE + LINE, x, fit_word(truth))
    sheet.write(y + TILE + 2 * LINE, x, f"{sign} {fit_word(guess)} {confidence:.2f}", color=color)


def draw_samples(path: str | Path, images: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Write a PNG with one row per class: its name and its first images; uint8 [N, C, H, W], labels [N]."""
    labels = labels.cpu()
    shown = classes[:MOST]
    step = TILE + 12
    left = MARGIN + 10 * max(len(fit_word(name)) for name in shown) + 24
    note = LINE if len(shown) < len(classes) else 0
    sheet = Sheet(2 * MARGIN + len(shown) * step + note, left + ACROSS * step)
    for k, name in enumerate(shown):
        y = MARGIN + k * step
        sheet.write(y + TILE / 2, MARGIN, fit_word(name), size=17)
        for place, n in enumerate((labels == k).nonzero().flatten()[:ACROSS].tolist()):
            sheet.paste(images[n], y, left + place * step)
    if note:
        sheet.write(
            sheet.height - MARGIN, MARGIN, f"the first {len(shown)} of {counted(len(classes), 'class', 'classes')}"
        )
    sheet.save(path)


def fit_tile(image: Tensor) -> np.ndarray:
    """uint8 [C, H, W] -> uint8 [h, w, 3], as large as a tile allows; small images keep square pixels."""
    from PIL import Image, ImageOps

    rgb = image.cpu().expand(3, -1, -1) if len(image) == 1 else image.cpu()[:3]
    picture = Image.fromarray(rgb.permute(1, 2, 0).contiguous().numpy())
    method = Image.Resampling.NEAREST if max(picture.size) <= TILE else Image.Resampling.LANCZOS
    return np.asarray(ImageOps.contain(picture, (TILE, TILE), method))


def fit_word(name: str) -> str:
    """Return a class name that fits below an image."""
    return name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"


def rows(images: Sequence[int]) -> int:
    """Return the number of rows for the images."""
    return -(-len(images) // ACROSS)
