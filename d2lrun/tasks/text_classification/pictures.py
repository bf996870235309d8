"""Pictures of a classification of texts: which classes are confused, the surest mistakes, and lengths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from d2lrun.counts import counted
from d2lrun.report.confusion import LETTERS, draw_confusion
from d2lrun.report.figure import INK, PALETTE, RED, new_figure, save
from d2lrun.report.labels import middle
from d2lrun.report.layout import head
from d2lrun.tasks.text_classification.texts import line_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from d2lrun.tasks.text_classification.predict import Predictions
    from d2lrun.tasks.text_classification.texts import LabelledTexts

WORST = 8  # mistakes on the picture
COLUMNS = 96  # of a text on it
BINS = 50
DRAWN = 0.995  # share of the texts whose length is on the picture


def draw_predictions(path: Path, predictions: Predictions, title: str) -> None:
    """Write a PNG: the confusion matrix, and the mistakes with the highest probability."""
    figure = new_figure(1150, 1100)
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    right = int((predictions.labels == predictions.predicted).sum())
    head(figure, f"{title}, {right:,} of {len(predictions.labels):,} right")
    draw_confusion(above, predictions.confusion, predictions.classes)
    draw_mistakes(below, predictions)
    figure.set_layout_engine("constrained")
    save(figure, path)


def draw_mistakes(axes: Axes, predictions: Predictions) -> None:
    """Write the surest mistakes as lines of text."""
    axes.axis("off")
    worst = predictions.mistakes
    title = f"The surest of {counted(len(worst), 'mistake')}: label → prediction" if worst else "No mistakes"
    axes.text(0, 1, title, weight="bold", size=8, va="top", transform=axes.transAxes)
    for line, row in enumerate(predictions.rows(worst[:WORST]), 1):
        _, label, guess, certainty, text = row
        words = line_of(text)
        short = words if cell_len(words) <= COLUMNS else set_cell_size(words, COLUMNS - 1) + "…"
        named = f"{middle(label, LETTERS)} → {middle(guess, LETTERS)} {float(certainty):.2f}"
        y = 1 - line / (WORST + 1)
        axes.text(0, y, named, color=RED, size=7, va="top", transform=axes.transAxes)
        axes.text(0.21, y, short, size=7, va="top", transform=axes.transAxes)


def draw_lengths(path: Path, data: LabelledTexts) -> None:
    """Write a PNG with a histogram of the lengths of the training texts, in a colour for each class."""
    lengths, labels = data.raw["train"].lengths, data.strata
    most = max(1, int(lengths.double().quantile(DRAWN).item()))
    figure = new_figure(900, 560)
    axes = figure.subplots()
    head(figure, f"{data.name}: lengths of {counted(len(lengths), 'training text')}")
    lengths = lengths.clamp(max=most)
    if data.outputs <= len(PALETTE):
        values = [lengths[labels == k].numpy() for k in range(data.outputs)]
        names, colours = [middle(name, LETTERS) for name in data.classes], PALETTE[: data.outputs]
    else:
        values, names, colours = [lengths.numpy()], [f"all {counted(data.outputs, 'class', 'classes')}"], PALETTE[:1]
    axes.hist(values, bins=min(BINS, most), range=(0, most), stacked=True, label=names, color=colours)
    if data.steps is not None and data.steps <= most:
        axes.axvline(data.steps, color=INK, linestyle="--", linewidth=1, label=f"dataset.steps={data.steps}")
    axes.set(xlabel=f"tokens ({data.kind}); longer than {most:,}: in the last bar", ylabel="texts")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8)
    figure.set_layout_engine("tight")
    save(figure, path)
