"""The confusion matrix of a classification as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from d2lrun.report.figure import INK
from d2lrun.report.labels import middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

NUMBERED = 15  # most classes whose counts are written into the cells
LETTERS = 16  # most letters of a class


def draw_confusion(axes: Axes, confusion: Tensor, classes: Sequence[str]) -> None:
    """Draw the counts [true, predicted]; a darker cell has a larger share of its row."""
    shares = confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1)
    axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    step = -(-len(classes) // 40)
    names = [middle(name, LETTERS) for name in classes][::step]
    axes.set_xticks(range(0, len(classes), step), names, fontsize=8)
    axes.set_yticks(range(0, len(classes), step), names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="label")
    if len(classes) > NUMBERED:
        return
    for row, counts in enumerate(confusion.tolist()):
        for column, count in enumerate(counts):
            share = shares[row, column].item()
            text = f"{count:,}\n{share:.1%}" if len(classes) <= 6 else f"{count:,}"
            axes.text(column, row, text, ha="center", va="center", size=8, color="white" if share > 0.5 else INK)
