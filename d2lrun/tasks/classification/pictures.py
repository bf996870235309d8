"""Sheets of images: the predictions of a trained network, and the samples of a dataset.

A sheet is one numpy array; matplotlib only adds the text, since 40 axes would take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from d2lrun.counts import counted
from d2lrun.report.figure import DPI, INK, new_figure, save

if TYPE_CHECKING:
    from torch import Tensor

    from d2lrun.tasks.classification.many import Guess

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
MOST_PICTURES = 100  # on a contact sheet


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
        """Write ``text`` with its middle at height ``y`` and its left end at ``x``; ? for signs that no font has."""
        shown = "".join(sign if sign.isprintable() else "?" for sign in text)
        self.words.append((y, x, shown, {"size": 15, "color": INK, "va": "center", **style}))

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
    """Write a PNG: at the top 20 images from all of the set, below them the 20 errors with the highest confidence.

    Test images uint8 [N, C, H, W], labels [N], probabilities [N, K]. Below each image are its label and the
    prediction with its probability; errors have a red frame and ✗.
    """
    confidence, predicted = (column.cpu() for column in probabilities.max(dim=1))  # [N], [N]
    labels = labels.cpu()
    wrong = (predicted != labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:SHOWN].tolist()
    count = min(SHOWN, len(labels))
    some = [n * len(labels) // count for n in range(count)]  # a folder of pictures is in the order of its classes
    right = len(labels) - len(wrong)
    titles = [
        f"{count} of {counted(len(labels), 'image')}, label and prediction ({right:,} right)",
        f"{counted(len(wrong), 'error')}, the most confident first" if worst else "No errors",
    ]

    def add(sheet: Sheet, y: int, x: int, n: int) -> None:
        truth, guess = classes[int(labels[n])], classes[int(predicted[n])]
        add_prediction(sheet, y, x, images[n], truth, guess, confidence[n].item())

    draw_parts(path, list(zip(titles, (some, worst), strict=True)), add)


def draw_parts(
    path: str | Path, parts: Sequence[tuple[str, Sequence[int]]], add: Callable[[Sheet, int, int, int], None]
) -> None:
    """Write a PNG with a title above the images of each part; ``add`` puts image ``n`` at (y, x) onto the sheet."""
    height = MARGIN + sum(HEADING + rows(numbers) * ROW for _, numbers in parts)
    sheet = Sheet(height, 2 * MARGIN + ACROSS * PITCH)
    top = MARGIN
    for title, numbers in parts:
        sheet.write(top + 12, MARGIN, title, size=22, weight="bold")
        for place, n in enumerate(numbers):
            add(sheet, top + HEADING + place // ACROSS * ROW, MARGIN + place % ACROSS * PITCH, n)
        top += HEADING + rows(numbers) * ROW
    sheet.save(path)


def add_prediction(sheet: Sheet, y: int, x: int, image: Tensor, truth: str, guess: str, confidence: float) -> None:
    """Add one image at (y, x) with its label and its prediction."""
    sign, color, frame = ("✓", GREEN, "") if guess == truth else ("✗", RED, RED)
    add_image(sheet, y, x, image, truth, f"{sign} {fit_word(guess)} {confidence:.2f}", color, frame)


def add_image(
    sheet: Sheet, y: int, x: int, image: Tensor, above: str, below: str, color: str = INK, frame: str = ""
) -> None:
    """Add one image at (y, x) with two lines of text below it."""
    sheet.paste(image, y, x, frame)
    sheet.write(y + TILE + LINE, x, fit_word(above))
    sheet.write(y + TILE + 2 * LINE, x, below, color=color)


def draw_contact_sheet(path: str | Path, images: Callable[[int], Tensor], guesses: Sequence[Guess]) -> None:
    """Write a PNG of pictures in the order of their confidence: all, or of more than 100 the 50 surest and least sure.

    ``images(n)`` returns the picture of guess ``n`` as uint8 [C, H, W]. A picture has its label or the name of its
    file, and the predicted class with its probability; a mistake has a red frame.
    """
    order = sorted(range(len(guesses)), key=lambda n: -guesses[n].probability)
    half = MOST_PICTURES // 2
    parts = [(f"{counted(len(order), 'picture')}, the surest first", order)]
    if len(order) > MOST_PICTURES:
        parts = [
            (f"The {half} surest of {len(order):,} pictures", order[:half]),
            (f"The {half} least sure", order[-half:]),
        ]

    def add(sheet: Sheet, y: int, x: int, n: int) -> None:
        guess = guesses[n]
        if guess.label is not None:
            add_prediction(sheet, y, x, images(n), guess.label, guess.name, guess.probability)
        else:
            said = f"{fit_word(guess.name)} {guess.probability:.2f}"
            add_image(sheet, y, x, images(n), guess.picture.path.name, said)

    draw_parts(path, parts, add)


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
