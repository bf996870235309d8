"""Pictures of a regression: its line through the points, or predicted and true numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.confusion import draw_confusion
from d2lrun.report.figure import INK, new_figure, save
from d2lrun.report.layout import head

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

POINTS, TRUE, LEARNED = "#000000", "#009E73", "#D55E00"  # Okabe and Ito


def draw_line(
    path: str | Path, points: tuple[Tensor, Tensor], grid: Tensor, truth: Tensor, learned: Tensor, title: str
) -> None:
    """Write a PNG: training rows x [N] and y [N], and the true and learned function [G] over ``grid`` [G]."""
    figure, axes = panel(title)
    axes.plot(*(values.numpy() for values in points), ".", color=POINTS, markersize=4, alpha=0.6, label="training rows")
    axes.plot(grid.numpy(), truth.numpy(), color=TRUE, linestyle="--", linewidth=1.6, label="true")
    axes.plot(grid.numpy(), learned.numpy(), color=LEARNED, linewidth=1.6, label="learned")
    axes.set(xlabel="x", ylabel="y")
    axes.legend(loc="best", fontsize=8, framealpha=0.8)
    save(figure, path)


def draw_agreement(
    path: str | Path, truth: Tensor, predicted: Tensor, target: str, title: str, logarithmic: bool
) -> None:
    """Write a PNG with a point for each row: true [N] on the x axis, predicted [N] on the y axis, and the diagonal.

    ``logarithmic`` axes are for positive numbers; a prediction below half of the lowest true number is drawn there.
    """
    figure, axes = panel(title)
    if logarithmic:
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        predicted = predicted.maximum(truth.min() / 2)
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
    axes.plot(truth.numpy(), predicted.numpy(), ".", color=LEARNED, markersize=4, alpha=0.6)
    ends = [truth.min().item(), truth.max().item()]
    axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle="--")
    axes.set(xlabel=f"true {target}", ylabel=f"predicted {target}")
    save(figure, path)


def draw_confused(path: str | Path, confusion: Tensor, classes: Sequence[str], title: str) -> None:
    """Write a PNG: how often each class is predicted as which, [true, predicted]."""
    figure, axes = panel(title)
    axes.grid(visible=False)
    draw_confusion(axes, confusion, classes)
    save(figure, path)


def panel(title: str) -> tuple[Figure, Axes]:
    """Return a figure with one panel, and its axes."""
    figure = new_figure(900, 700)
    head(figure, title)
    figure.set_layout_engine("tight")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes
