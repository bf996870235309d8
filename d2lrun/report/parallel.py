"""A metric over three or more swept keys: an upright axis a key, a line a combination."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from d2lrun.report.figure import INK, PALETTE, new_figure
from d2lrun.report.points import CROSS, OPEN, WORD, Point, Topic, cmap, distinct, numeric, order_of, text_of
from d2lrun.report.scale import DECADES, Scale, scale_of, spans
from d2lrun.report.sweep import words
from d2lrun.report.text import measured, setting, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def parallel_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """An axis a key and one for the metric; a line a combination, darker where it is better, ✗ where it failed."""
    figure = new_figure(min(2200, 420 + 210 * len(keys)), 760)
    axes = figure.subplots()
    scale = scale_of(each.metrics[topic.main][0] for each in points if topic.main in each.metrics)
    heights = [heights_of(points, key) for key in keys]
    norm, colours = scale.norm(), cmap(topic)
    thin = 1.3 if len(points) <= 100 else 0.5
    for each in sorted(points, key=lambda each: (each.best, -order_of(each, topic))):
        ys = [height[text_of(each, key)] for key, height in zip(keys, heights, strict=True)]
        if topic.main in each.metrics:
            mean = each.metrics[topic.main][0]
            end = float(norm(min(mean, scale.high)))
            style = {"color": colours(end), "alpha": 0.8, "linewidth": thin}
            if each.best:
                style = {"color": PALETTE[1], "linewidth": 3.2, "zorder": 4, "label": f"best: {measured(mean)}"}
            axes.plot(range(len(keys) + 1), [*ys, end], **style)
        else:
            style = CROSS if each.state == "failed" else OPEN
            axes.plot(range(len(keys) + 1), [*ys, -0.08], color=style["color"], linewidth=0.8, linestyle=":", alpha=0.7)
            axes.plot([len(keys)], [-0.08], **style)
    for x, (key, height) in enumerate(zip(keys, heights, strict=True)):
        draw_rail(axes, x, key, height)
    measured_any = any(topic.main in each.metrics for each in points)
    draw_rail(axes, len(keys), words(topic.main), metric_ticks(scale, norm) if measured_any else {})
    axes.set(xlim=(-0.35, len(keys) + 0.55), ylim=(-0.13, 1.12))
    axes.axis("off")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, -0.08), framealpha=0.8)
    return figure


def draw_rail(axes: Axes, x: int, name: str, ticks: dict[str, float]) -> None:
    """One upright axis of parallel coordinates, with its name above."""
    axes.plot([x, x], [0, 1], color=INK, linewidth=1.2, zorder=3)
    axes.text(x, 1.05, shortened(name, WORD), ha="center", va="bottom", fontsize=8, weight="bold", color=INK)
    step = max(1, -(-len(ticks) // 12))
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for text, y in list(ticks.items())[::step]:
        axes.text(x + 0.03, y, shortened(text, WORD), va="center", fontsize=7, color=INK, zorder=6, bbox=box)


def heights_of(points: list[Point], key: str) -> dict[str, float]:
    """Where each value stands on its axis, 0 to 1: numbers by size (or its logarithm), words evenly."""
    values = distinct(points, key)
    if not numeric(points, key):
        return {setting(value): place / max(1, len(values) - 1) for place, value in enumerate(values)}
    log = values[0] > 0 and spans(values, DECADES)
    places = [math.log(value) if log else float(value) for value in values]
    return {
        setting(value): (place - places[0]) / (places[-1] - places[0])
        for value, place in zip(values, places, strict=True)
    }


def metric_ticks(scale: Scale, norm: Any) -> dict[str, float]:
    """Five numbers along the metric's axis."""
    if scale.high <= scale.low:
        return {measured(scale.high): 0.0}
    return {measured(float(norm.inverse(place / 4))): place / 4 for place in range(5)}
