"""A metric over one swept key: a line if its values are numbers; dots if they are from a search or are words."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import direction
from d2lrun.report.curves import STYLES
from d2lrun.report.figure import GREY, PALETTE, RED, new_figure
from d2lrun.report.labels import middle
from d2lrun.report.layout import legend_above
from d2lrun.report.points import (
    CROSS,
    MOST,
    OPEN,
    WORD,
    Point,
    Topic,
    bars_of,
    distinct,
    done,
    order_of,
    pruned,
    star,
    text_of,
)
from d2lrun.report.scale import Scale, logarithmic, plain_ticks, scale_of
from d2lrun.report.text import setting, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 640  # approximate width of the axes of a panel, in pixels
MARKERS = ("o", "s", "^", "D", "v")  # of the lines


def line_figure(points: list[Point], key: str, by: str | None, topic: Topic) -> Figure:
    """Return a figure of metrics over a number: a panel per metric, with train and the watched split.

    Each value of ``by`` has its own colour.
    """
    figure = new_figure(780 * len(topic.names), 680)
    for axes, name in zip(figure.subplots(1, len(topic.names), squeeze=False)[0], topic.names, strict=True):
        bars = bars_of(points, name)
        scale = scale_of(mean for mean, _ in bars)
        spread_axis(axes, distinct(points, key), key in topic.log)
        scale.apply(axes, bars=bars)
        if by is None:
            for split, style in STYLES.items():
                line = style if topic.joined else {**style, "linestyle": ""}
                draw_series(axes, series(points, key, f"{split}_{name}"), scale, {**line, "label": split})
        else:
            draw_families(axes, points, key, by, name, topic, scale)
        mark(axes, points, key, f"{topic.watched}_{name}", scale)
        mark_lost(axes, points, key, direction(name) == "max")
        axes.set(xlabel=key, ylabel=name)
        finish(axes, PANEL)
    return figure


def draw_families(axes: Axes, points: list[Point], key: str, by: str, name: str, topic: Topic, scale: Scale) -> None:
    """Draw the lines in a colour for each value of ``by``: the watched split with markers, train dashed."""
    label = short_names([key, by])[by]
    for colour, style, value in zip(PALETTE, MARKERS, distinct(points, by), strict=False):
        own = [each for each in points if text_of(each, by) == setting(value)]
        words_of = f"{label}={middle(setting(value), WORD)}"
        solid, dotted = ("-", ":") if topic.joined else ("", "")
        line = {"color": colour, "linestyle": solid, "marker": style, "label": f"{words_of}, {topic.watched}"}
        draw_series(axes, series(own, key, f"{topic.watched}_{name}"), scale, line)
        dashed = {"color": colour, "linestyle": dotted, "marker": "" if topic.joined else "+"}
        if topic.watched != "train":
            draw_series(axes, series(own, key, f"train_{name}"), scale, {**dashed, "label": f"{words_of}, train"})


def series(points: list[Point], key: str, metric: str) -> list[tuple[float, float, float | None]]:
    """Return [(x, mean, std)], sorted by x, of the finished points with the metric."""
    found = [(each.values[key], *each.metrics[metric]) for each in points if done(each, metric)]
    return sorted(found, key=lambda row: row[0])


def draw_series(axes: Axes, rows: list[tuple[float, float, float | None]], scale: Scale, style: dict[str, Any]) -> None:
    """Draw a line with error bars through the values in the scale; others are ▲ or ▼ at the edge, with their value."""
    if not rows:
        return
    inside = [row if scale.holds(row[1]) else (row[0], float("nan"), None) for row in rows]
    xs, means, stds = zip(*inside, strict=True)
    errors = [std or 0.0 for std in stds] if any(stds) else None
    small = style["marker"] if len(rows) <= 60 else "."
    axes.errorbar(xs, means, yerr=errors, **{**style, "marker": small}, markersize=5, linewidth=1.6, capsize=3)
    for x, mean, _ in rows:
        if not scale.holds(mean):
            above, place = mean > scale.high, axes.get_xaxis_transform()
            look = {"color": style["color"], "markersize": 6, "transform": place}
            axes.plot([x], [scale.edge(mean)], "^" if above else "v", **look)
            text: dict[str, Any] = {
                "xytext": (0, -12 if above else 6),
                "textcoords": "offset points",
                "ha": "center",
                "fontsize": 7,
            }
            axes.annotate(f"{mean:.2g}", (x, scale.edge(mean)), xycoords=place, color=style["color"], **text)


def spread_axis(axes: Axes, values: list[float], asked: bool = False) -> None:
    """Set the x axis of a number, with a label per value if there is room; logarithmic by ``scale.logarithmic``."""
    positive = [value for value in values if value > 0]
    log = logarithmic(positive, asked)
    if log and values[0] > 0:
        axes.set_xscale("log")
    elif log and values[0] == 0:  # weight decay 0, 1e-4, 1e-3: a logarithmic axis has no place for 0
        axes.set_xscale("symlog", linthresh=positive[0], linscale=0.6)
    axes.plot(values, [0.5] * len(values), linestyle="", transform=axes.get_xaxis_transform())  # all in view
    axes.margins(x=0.08)
    places = axes.transAxes.inverted().transform(axes.transData.transform([(value, 0) for value in values]))[:, 0]
    close = min((right - left for left, right in pairwise(places)), default=1)
    if close > 0.011 * max(len(setting(value)) for value in values) + 0.01:
        axes.set_xticks(values, [setting(value) for value in values])
        axes.set_xticks([], minor=True)
    else:
        plain_ticks(axes.xaxis)


def mark(axes: Axes, points: list[Point], key: str, metric: str, scale: Scale) -> None:
    """Draw a star on the best point and hollow dots for pruned points, if their values are in view."""
    held = [each for each in points if metric in each.metrics and scale.holds(each.metrics[metric][0])]
    pruned(axes, held, metric, lambda each: (each.values[key], each.metrics[metric][0]))
    for each in held:
        if each.best:
            star(axes, each.values[key], each.metrics[metric][0])


def mark_lost(axes: Axes, points: list[Point], key: str, bottom: bool) -> None:
    """Draw points without a result at the edge of the worst values: ✗ failed, □ not finished."""
    for state, style, label in (("failed", CROSS, "failed or diverged"), ("unfinished", OPEN, "not finished")):
        xs = [each.values[key] for each in points if each.state == state or (state == "failed" and each.partly)]
        if xs:
            place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "label": label}
            axes.plot(xs, [0.035 if bottom else 0.965] * len(xs), **style, **place)


def finish(axes: Axes, width: float) -> None:
    """Draw grid, frame and legend of axes of ``width`` pixels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    legend_above(axes, width)


def dot_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Return a figure of metrics over words: a row per word, so that long words have room; a panel per metric."""
    shown = best_points(points, topic)
    names = [middle(text_of(each, keys[0]) if keys else "this job", WORD) for each in shown]
    labels = [f"{name} ✗" if each.partly else name for name, each in zip(names, shown, strict=True)]
    figure = new_figure(750 * len(topic.names), 230 + 46 * max(3, len(shown)))
    panels = figure.subplots(1, len(topic.names), squeeze=False, sharey=True)[0]
    for axes, name in zip(panels, topic.names, strict=True):
        bars = bars_of(shown, name)
        scale = scale_of(mean for mean, _ in bars)
        scale.apply(axes, "x", bars)
        for split, style in STYLES.items():
            draw_dots(axes, shown, f"{split}_{name}", scale, {**style, "linestyle": "", "label": split})
        draw_states(axes, shown, f"{topic.watched}_{name}", scale)
        axes.set(xlabel=name, ylim=(len(shown) - 0.4, -0.6))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)
        legend_above(axes, PANEL / 2)
    panels[0].set_yticks(range(len(shown)), labels)
    more = f" (the best {len(shown)} of {len(points):,})" if len(shown) < len(points) else ""
    panels[0].set_ylabel(f"{keys[0]}{more}" if keys else "")
    return figure


def draw_dots(axes: Axes, shown: list[Point], metric: str, scale: Scale, style: dict[str, Any]) -> None:
    """Draw a dot with an error bar per row; values out of the scale are ▶ or ◀ at the edge, with their value."""
    rows = [(row, *each.metrics[metric]) for row, each in enumerate(shown) if done(each, metric)]
    inside = [row for row in rows if scale.holds(row[1])]
    if inside:
        places, means, stds = zip(*inside, strict=True)
        errors = [std or 0.0 for std in stds] if any(stds) else None
        axes.errorbar(means, places, xerr=errors, **style, markersize=6, capsize=3)
    for row, mean, _ in rows:
        if not scale.holds(mean):
            above = mean > scale.high
            text, place = (f"{mean:.2g} ▶", 0.99) if above else (f"◀ {mean:.2g}", 0.01)
            look = {"color": style["color"], "va": "center", "ha": "right" if above else "left", "fontsize": 7}
            axes.text(place, row, text, **look, transform=axes.get_yaxis_transform())


def draw_states(axes: Axes, shown: list[Point], metric: str, scale: Scale) -> None:
    """Draw a star on the best row, hollow dots for pruned rows, and a text in rows without a result."""
    rows = {id(each): row for row, each in enumerate(shown)}
    held = [each for each in shown if metric in each.metrics and scale.holds(each.metrics[metric][0])]
    pruned(axes, held, metric, lambda each: (each.metrics[metric][0], rows[id(each)]))
    for row, each in enumerate(shown):
        if each.best and each in held:
            star(axes, each.metrics[metric][0], row)
        if each in held:
            continue
        if text := "✗ failed or diverged" if each.state == "failed" else each.state:
            colour = RED if "✗" in text else GREY
            axes.text(0.02, row, text, color=colour, va="center", fontsize=8, transform=axes.get_yaxis_transform())


def best_points(points: list[Point], topic: Topic) -> list[Point]:
    """Return all points in their order, or the best forty if there are more."""
    if len(points) <= MOST:
        return points
    return sorted(points, key=lambda each: order_of(each, topic))[:MOST]
