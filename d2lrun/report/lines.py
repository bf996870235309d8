"""A metric over one swept key: a line where its values are numbers, dots where they are words."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from d2lrun.report.curves import STYLES
from d2lrun.report.figure import GREY, PALETTE, RED, new_figure
from d2lrun.report.points import CROSS, MOST, OPEN, WORD, Point, Topic, bars_of, distinct, order_of, star, text_of
from d2lrun.report.scale import DECADES, Scale, plain_ticks, scale_of, spans
from d2lrun.report.text import setting, short_names, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROWDED = 10  # from the least to the greatest value
MARKERS = ("o", "s", "^", "D", "v")  # of those lines


def line_figure(points: list[Point], key: str, by: str | None, topic: Topic) -> Figure:
    """Metrics over a number, a panel a metric; train and the watched split, and a colour for each value of ``by``."""
    figure = new_figure(780 * len(topic.names), 640)
    for axes, name in zip(figure.subplots(1, len(topic.names), squeeze=False)[0], topic.names, strict=True):
        bars = bars_of(points, name)
        scale = scale_of(mean for mean, _ in bars)
        spread_axis(axes, distinct(points, key))
        scale.apply(axes, bars=bars)
        if by is None:
            for split, style in STYLES.items():
                draw_series(axes, series(points, key, f"{split}_{name}"), scale, {**style, "label": split})
        else:
            draw_families(axes, points, key, by, name, topic, scale)
        mark_best(axes, points, key, f"{topic.watched}_{name}", scale)
        mark_lost(axes, points, key)
        axes.set(xlabel=key, ylabel=name)
        finish(axes)
    return figure


def draw_families(axes: Axes, points: list[Point], key: str, by: str, name: str, topic: Topic, scale: Scale) -> None:
    """A colour for each value of ``by``: the watched split with markers, train dashed."""
    label = short_names([key, by])[by]
    for colour, style, value in zip(PALETTE, MARKERS, distinct(points, by), strict=False):
        own = [each for each in points if text_of(each, by) == setting(value)]
        words_of = f"{label}={shortened(setting(value), WORD)}"
        line = {"color": colour, "linestyle": "-", "marker": style, "label": f"{words_of}, {topic.watched}"}
        draw_series(axes, series(own, key, f"{topic.watched}_{name}"), scale, line)
        dashed = {"color": colour, "linestyle": ":", "marker": "", "label": f"{words_of}, train"}
        if topic.watched != "train":
            draw_series(axes, series(own, key, f"train_{name}"), scale, dashed)


def series(points: list[Point], key: str, metric: str) -> list[tuple[float, float, float | None]]:
    """[(x, mean, std)] by x, of the points that have the metric."""
    found = [(each.values[key], *each.metrics[metric]) for each in points if metric in each.metrics]
    return sorted(found, key=lambda row: row[0])


def draw_series(axes: Axes, rows: list[tuple[float, float, float | None]], scale: Scale, style: dict[str, Any]) -> None:
    """A line through what the scale holds, with error bars; at the edge a ▲ or ▼ with its value for the rest."""
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
            text = {"xytext": (0, -12 if above else 6), "textcoords": "offset points", "ha": "center", "fontsize": 7}
            axes.annotate(f"{mean:.2g}", (x, scale.edge(mean)), xycoords=place, color=style["color"], **text)


def spread_axis(axes: Axes, values: list[float]) -> None:
    """The x axis of a number, each value named where there is room.

    It is logarithmic over two decades or more, and over one where values would crowd at its left end.
    """
    positive = [value for value in values if value > 0]
    gaps = [right - left for left, right in pairwise(positive)]
    crowded = bool(gaps) and min(gaps) < 0.03 * sum(gaps) and spans(positive, CROWDED)
    log = len(positive) > 1 and (spans(positive, DECADES) or crowded)
    if log and values[0] > 0:
        axes.set_xscale("log")
    elif log and values[0] == 0:  # weight decay 0, 1e-4, 1e-3: nothing has its own place left of them
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


def mark_best(axes: Axes, points: list[Point], key: str, metric: str, scale: Scale) -> None:
    for each in points:
        if each.best and metric in each.metrics and scale.holds(each.metrics[metric][0]):
            star(axes, each.values[key], each.metrics[metric][0])


def mark_lost(axes: Axes, points: list[Point], key: str) -> None:
    """At the top edge: ✗ what failed, ○ what has no result for another reason."""
    for state, style, label in (("failed", CROSS, "failed or diverged"), ("", OPEN, "pruned or not finished")):
        kinds = ("failed",) if state else ("pruned", "unfinished")
        xs = [each.values[key] for each in points if each.state in kinds or (state and each.partly)]
        if xs:
            axes.plot(xs, [0.965] * len(xs), **style, transform=axes.get_xaxis_transform(), label=label)


def finish(axes: Axes) -> None:
    """Grid, frame and legend as in curves.png."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7, framealpha=0.8)


def dot_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Metrics of words, one below the other so that long ones have room; a panel a metric."""
    shown = best_points(points, topic)
    names = [shortened(text_of(each, keys[0]) if keys else "this job", WORD) for each in shown]
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
        if axes.get_legend_handles_labels()[1]:
            axes.legend(fontsize=7, framealpha=0.8)
    panels[0].set_yticks(range(len(shown)), labels)
    more = f" (the best {len(shown)} of {len(points):,})" if len(shown) < len(points) else ""
    panels[0].set_ylabel(f"{keys[0]}{more}" if keys else "")
    return figure


def draw_dots(axes: Axes, shown: list[Point], metric: str, scale: Scale, style: dict[str, Any]) -> None:
    """A dot a row with its error bar; at the edge ▶ or ◀ with its value for the rest."""
    rows = [(row, *each.metrics[metric]) for row, each in enumerate(shown) if metric in each.metrics]
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
    """The best starred; what has no result says so in its row."""
    for row, each in enumerate(shown):
        if each.best and metric in each.metrics and scale.holds(each.metrics[metric][0]):
            star(axes, each.metrics[metric][0], row)
        if text := "✗ failed or diverged" if each.state == "failed" else each.state:
            colour = RED if "✗" in text else GREY
            axes.text(0.02, row, text, color=colour, va="center", fontsize=8, transform=axes.get_yaxis_transform())


def best_points(points: list[Point], topic: Topic) -> list[Point]:
    """All of them in their order, or the best forty where there are more."""
    if len(points) <= MOST:
        return points
    return sorted(points, key=lambda each: order_of(each, topic))[:MOST]
