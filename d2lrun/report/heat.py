"""A metric over two swept keys: a heat map, or for numbers of a search a scatter plot with a dot per job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from d2lrun.report.figure import GREY, INK, RED, new_figure
from d2lrun.report.labels import middle
from d2lrun.report.lines import finish
from d2lrun.report.points import (
    CROSS,
    MOST,
    OPEN,
    PRUNED,
    WORD,
    Point,
    Topic,
    cmap,
    colour_bar,
    distinct,
    order_of,
    star,
    text_of,
)
from d2lrun.report.scale import logarithmic, plain_ticks, scale_of
from d2lrun.report.text import setting, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE = 750  # approximate width of the axes of a scatter plot, in pixels
CELLS = 200  # in a heat map with at most so many cells, each shows its number


def heat_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Return a heat map with a cell for each pair of values: darker is better; hatched if all runs failed."""
    columns, rows = (distinct(points, key) for key in keys)
    if len(rows) > len(columns) and max(len(setting(value)) for value in rows) < WORD:
        keys, columns, rows = keys[::-1], rows, columns
    found = {(text_of(each, keys[0]), text_of(each, keys[1])): each for each in points}
    width = 420 + min(1300, max(500, 105 * len(columns)))
    figure = new_figure(width, 330 + min(1300, max(200, 62 * len(rows))))
    axes = figure.subplots()
    scale = scale_of(each.metrics[topic.main][0] for each in points if topic.main in each.metrics)
    grid = [[found.get((setting(column), setting(row))) for column in columns] for row in rows]
    means = [
        [cell.metrics.get(topic.main, (float("nan"),))[0] if cell else float("nan") for cell in row] for row in grid
    ]
    image = axes.imshow(means, aspect="auto", cmap=cmap(topic), norm=scale.norm(), interpolation="nearest")
    if any(topic.main in each.metrics for each in points):
        colour_bar(figure, image, axes, topic)
    size = max(4.0, min(9.0, 60 / len(columns), 70 / len(rows)))
    for y, row in enumerate(grid):
        for x, cell in enumerate(row):
            draw_cell(axes, x, y, cell, topic, image, size if len(columns) * len(rows) <= CELLS else 0)
    name_axis(axes, "x", keys[0], columns)
    name_axis(axes, "y", keys[1], rows)
    return figure


def draw_cell(axes: Axes, x: int, y: int, cell: Point | None, topic: Topic, image: Any, size: float) -> None:
    """Draw the number of a cell (none if ``size`` is 0), or why it has none."""
    from matplotlib.patches import Rectangle

    value = cell.metrics.get(topic.main) if cell else None
    if cell is None or value is None:
        failed = cell is not None and cell.state == "failed"
        frame: dict[str, Any] = {"facecolor": "#E6E6E6" if cell else "white", "edgecolor": "#BBBBBB", "linewidth": 0.5}
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, hatch="////" if failed else None, **frame))
        text, colour = ("✗" if failed else cell.state if cell else "not run"), RED if failed else GREY
    else:
        red, green, blue, _ = image.cmap(image.norm(value[0]))
        marks = (" ✗" if cell.partly else "") + (" ★" if cell.best else "") + ("\npruned" if cell.state else "")
        text = spread(*value).replace(" ± ", "\n± ") + marks
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.55 else INK
    if size or "✗" in text:
        weight = "bold" if cell and cell.best else "normal"
        axes.text(x, y, text if size else "✗", color=colour, ha="center", va="center", size=size or 6, weight=weight)


def scatter_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Return a scatter plot of two numbers of a search: a dot per job, darker is better."""
    figure = new_figure(1000, 720)
    axes = figure.subplots()
    for axis, key in zip("xy", keys, strict=True):
        values = distinct(points, key)
        if logarithmic(values, key in topic.log):
            getattr(axes, f"set_{axis}scale")("log")
            getattr(axes, f"set_{axis}lim")(values[0] / 1.3, values[-1] * 1.3)
        plain_ticks(getattr(axes, f"{axis}axis"))
    measured = sorted((each for each in points if topic.main in each.metrics), key=lambda each: -order_of(each, topic))
    colours = draw_measured(axes, measured, keys, topic)
    if measured:
        colour_bar(figure, colours, axes, topic)
    for state, style, label in (("failed", CROSS, "failed or diverged"), ("unfinished", OPEN, "not finished")):
        lost = [each for each in points if each.state == state]
        if lost:
            axes.plot(*([each.values[key] for each in lost] for key in keys), **style, label=label)
    for each in points:
        if each.best:
            star(axes, *(each.values[key] for key in keys))
    axes.set(xlabel=keys[0], ylabel=keys[1])
    finish(axes, WIDE)
    return figure


def draw_measured(axes: Axes, points: list[Point], keys: list[str], topic: Topic) -> Any:
    """Draw a dot per job in the colour of its value, hollow if it was pruned; return what the colour bar needs."""
    from matplotlib.cm import ScalarMappable

    norm = scale_of(each.metrics[topic.main][0] for each in points).norm()
    colours = ScalarMappable(norm, cmap(topic))
    for kind, label in (("", None), ("pruned", f"{PRUNED} (colour)")):
        own = [each for each in points if each.state == kind]
        if own:
            values = [each.metrics[topic.main][0] for each in own]
            edges = colours.to_rgba(values)  # type: ignore[arg-type]  # it takes any sequence
            look: dict[str, Any] = {"c": edges, "edgecolors": INK, "linewidths": 0.4} if not kind else {"linewidths": 2}
            look |= {"facecolors": "none", "edgecolors": edges} if kind else {}
            axes.scatter(*([each.values[key] for each in own] for key in keys), **look, label=label)
    return colours


def name_axis(axes: Axes, axis: str, key: str, values: list[Any]) -> None:
    """Label the cells with the values of a key: all, or as many as fit."""
    step = max(1, -(-len(values) // MOST))
    texts = [middle(setting(value), WORD) for value in values][::step]
    getattr(axes, f"set_{axis}ticks")(range(0, len(values), step), texts, fontsize=8)
    getattr(axes, f"set_{axis}label")(key)
