"""Pictures of tags: which is mistaken for which, and how often each occurs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.figure import GREY, INK, PALETTE, new_figure, save
from d2lrun.report.labels import middle
from d2lrun.report.layout import head
from d2lrun.report.scale import plain_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

MOST = 20  # most tags in a picture
CELLS = 14  # longest name of a tag, in cells of a terminal


def draw_confusion(path: Path, names: Sequence[str], confusion: Tensor, f1: Sequence[tuple[float, float]]) -> None:
    """Write a PNG: for the most frequent tags, the share of each prediction, and their F1 beside the baseline's.

    ``confusion`` [K, K] counts [true, predicted]; ``f1`` has for each tag the F1 of the network and of the baseline.
    """
    order = [k for k in confusion.sum(dim=1).argsort(descending=True, stable=True).tolist() if confusion[k].sum()]
    order = order[:MOST]
    shares = (confusion / confusion.sum(dim=1, keepdim=True).clamp(min=1))[order][:, order]
    figure = new_figure(1500, 360 + 34 * len(order))
    head(figure, f"The {len(order)} most frequent tags: true (rows), predicted (columns)")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3, 2]})
    shown = [middle(names[k], CELLS) for k in order]
    left.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for y, row in enumerate(shares.tolist()):
        for x, share in enumerate(row):
            if share >= 0.01:
                colour = "white" if share > 0.6 else INK
                left.text(x, y, f"{100 * share:.0f}", ha="center", va="center", size=6, color=colour)
    left.set_xticks(range(len(order)), shown, fontsize=7, rotation=60, ha="right", rotation_mode="anchor")
    left.set_yticks(range(len(order)), shown, fontsize=7)
    left.set(xlabel="predicted, percent of the row", ylabel="true")
    draw_f1(right, shown, [f1[k] for k in order])
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_f1(axes: Axes, names: Sequence[str], values: Sequence[tuple[float, float]]) -> None:
    """Draw a bar for the F1 of each tag, and a line at the F1 of the baseline."""
    places = range(len(names))
    axes.barh(places, [own for own, _ in values], color=PALETTE[0], height=0.7, label="network")
    axes.vlines(
        [other for _, other in values],
        [place - 0.4 for place in places],
        [place + 0.4 for place in places],
        color=PALETTE[1],
        linewidth=2,
        label="most frequent tag of the word",
    )
    axes.set_yticks(places, names, fontsize=7)
    axes.set(xlabel="F1", xlim=(0, 1.02), ylim=(len(names) - 0.4, -0.6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=2, fontsize=7, frameon=False)


def draw_counts(path: Path, title: str, names: Sequence[str], counts: Sequence[int], lengths: Sequence[int]) -> None:
    """Write a PNG: how often the most frequent tags occur, and how long the sentences are."""
    figure = new_figure(1500, 700)
    head(figure, title)
    left, right = figure.subplots(1, 2)
    shown = [middle(name, CELLS) for name in names[:MOST]]
    left.bar(range(len(shown)), counts[:MOST], color=PALETTE[0])
    left.set_yscale("log")
    plain_ticks(left.yaxis)
    left.set_xticks(range(len(shown)), shown, fontsize=7, rotation=60, ha="right", rotation_mode="anchor")
    left.set(ylabel="words", xlabel=f"the {len(shown)} most frequent tags" if len(names) > len(shown) else "tag")
    right.hist(lengths, bins=40, color=PALETTE[0])
    right.set(xlabel="words of a sentence", ylabel="sentences")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GREY, linewidth=0.4, alpha=0.5)
        axes.set_axisbelow(True)
    figure.set_layout_engine("tight")
    save(figure, path)
