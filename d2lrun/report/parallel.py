"""A metric over three or more swept keys: parallel coordinates with an axis per key and a line per combination."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from d2lrun.report.figure import INK, PALETTE, new_figure
from d2lrun.report.labels import middle
from d2lrun.report.points import (
    CROSS,
    HOLLOW,
    OPEN,
    PRUNED,
    Point,
    Topic,
    cmap,
    distinct,
    numeric,
    order_of,
    text_of,
)
from d2lrun.report.scale import Scale, logarithmic, scale_of
from d2lrun.report.sweep import words
from d2lrun.report.text import measured, setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL = 11  # pixels of a character of a name


def parallel_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Return a figure: an axis per key and one for the metric; a line per combination, darker is better, ✗ failed."""
    width = min(2200, 420 + 210 * len(keys))
    figure = new_figure(width, 760)
    axes = figure.subplots()
    scale = scale_of(each.metrics[topic.main][0] for each in points if topic.main in each.metrics)
    heights = [heights_of(points, key, key in topic.log) for key in keys]
    norm, colours = scale.norm(), cmap(topic)
    thin = 1.3 if len(points) <= 100 else 0.5
    for each in sorted(points, key=lambda each: (each.best, -order_of(each, topic))):
        ys = [height[text_of(each, key)] for key, height in zip(keys, heights, strict=True)]
        draw_combination(axes, each, ys, topic, scale, norm, colours, thin)
    cells = int(0.9 * width / (len(keys) + 1) / CELL)
    for x, (key, height) in enumerate(zip(keys, heights, strict=True)):
        draw_rail(axes, x, key, height, cells)
    measured_any = any(topic.main in each.metrics for each in points)
    draw_rail(axes, len(keys), words(topic.main), metric_ticks(scale, norm) if measured_any else {}, cells)
    axes.set(xlim=(-0.35, len(keys) + 0.55), ylim=(-0.13, 1.12))
    axes.axis("off")
    labelled = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))  # one entry for all pruned lines
    if labelled:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, 0)}
        axes.legend(labelled.values(), labelled, fontsize=8, frameon=False, ncols=2, **place)
    return figure


def draw_combination(
    axes: Axes, each: Point, ys: list[float], topic: Topic, scale: Scale, norm: Any, colours: Any, thin: float
) -> None:
    """Draw the line of a combination from its values at heights ``ys`` to its metric, or below all without a metric."""
    last = len(ys)
    if topic.main not in each.metrics:
        sign = CROSS if each.state == "failed" else OPEN
        axes.plot(range(last + 1), [*ys, -0.08], color=sign["color"], linewidth=0.8, linestyle=":", alpha=0.7)
        axes.plot([last], [-0.08], **sign)
        return
    mean = each.metrics[topic.main][0]
    end = float(norm(min(mean, scale.high)))
    style: dict[str, Any] = {"color": colours(end), "alpha": 0.8, "linewidth": thin}
    if each.state == "pruned":
        style |= {"linestyle": "--", "linewidth": 0.5}
        axes.plot([last], [end], **HOLLOW, label=PRUNED)
    if each.best:
        style = {"color": PALETTE[1], "linewidth": 3.2, "zorder": 4, "label": f"best: {measured(mean)}"}
    axes.plot(range(last + 1), [*ys, end], **style)


def draw_rail(axes: Axes, x: int, name: str, ticks: dict[str, float], cells: int) -> None:
    """Draw one vertical axis of parallel coordinates, with its name above; texts have at most ``cells``."""
    axes.plot([x, x], [0, 1], color=INK, linewidth=1.2, zorder=3)
    axes.text(x, 1.05, middle(name, cells), ha="center", va="bottom", fontsize=8, weight="bold", color=INK)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    shown = [*ticks.items()]
    for text, y in [*shown[-1:], *shown[:-1]]:  # both ends first: if texts overlap, the later one is hidden
        axes.text(x + 0.03, y, middle(text, cells - 1), va="center", fontsize=7, color=INK, zorder=6, bbox=box)


def heights_of(points: list[Point], key: str, asked: bool = False) -> dict[str, float]:
    """Return the position of each value on its axis, 0 to 1: numbers by size (or logarithm), words evenly."""
    values = distinct(points, key)
    if not numeric(points, key):
        return {setting(value): place / max(1, len(values) - 1) for place, value in enumerate(values)}
    log = logarithmic(values, asked)
    places = [math.log(value) if log else float(value) for value in values]
    return {
        setting(value): (place - places[0]) / (places[-1] - places[0])
        for value, place in zip(values, places, strict=True)
    }


def metric_ticks(scale: Scale, norm: Any) -> dict[str, float]:
    """Return five ticks along the axis of the metric."""
    if scale.high <= scale.low:
        return {measured(scale.high): 0.0}
    return {measured(float(norm.inverse(place / 4))): place / 4 for place in range(5)}
