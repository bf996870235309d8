"""A metric over the swept values: a line for one number, dots for one list of words, a heat map or lines for two
keys, parallel coordinates beyond. What failed is drawn as ✗, never left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.report.curves import STYLES
from d2lrun.report.figure import GREY, INK, PALETTE, RED, new_figure, save
from d2lrun.report.scale import DECADES, Scale, plain_ticks, scale_of, spans
from d2lrun.report.sweep import FAILED, HIGHER_IS_BETTER, is_finite, main_metrics, words
from d2lrun.report.text import counted, measured, setting, short_names, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUNS = ("seed", "validation.fold")  # numbers that are names
MOST = 40  # words on one axis
FEW = 5  # lines in one panel
CELLS = 200  # of a heat map, up to which each shows its number
MARKERS = ("o", "s", "^", "D", "v")  # of those lines
WORD = 24  # characters of a value on an axis
CROSS = {"marker": "x", "color": RED, "linestyle": "", "markersize": 7, "markeredgewidth": 2}
OPEN = {"marker": "o", "color": GREY, "linestyle": "", "markersize": 6, "fillstyle": "none"}


@dataclass
class Point:
    """What one combination of values came to."""

    values: dict[str, Any]
    metrics: dict[str, tuple[float, float | None]]  # mean, and std where there is one
    state: str = ""  # failed, pruned or unfinished where there is no result
    partly: bool = False  # some of its runs failed
    best: bool = False


@dataclass
class Topic:
    """What is drawn: of the ``watched`` split (val or test) and of train the metrics ``names``, the first above all."""

    watched: str
    names: list[str]
    lower: bool  # is better

    @property
    def main(self) -> str:
        return f"{self.watched}_{self.names[0]}"


def draw_sweep(sweep: dict[str, Any], path: str | Path) -> None:
    """Write a PNG of the metric that ranks (else of the accuracy, perplexity or loss) over the swept values.

    Without a group there is nothing to draw and no file.
    """
    points = points_of(sweep)
    if not points:
        return
    keys = varying(points, sweep["keys"])
    topic = topic_of(sweep)
    figure = draw_points(points, keys, topic)
    figure.suptitle(title(sweep, points, topic), x=0.01, ha="left", color=INK, fontsize=10, fontweight="bold")
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_points(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """The figure whose form suits the number of keys and what their values are."""
    numbers = [key for key in keys if numeric(points, key)]
    others = [key for key in keys if key not in numbers]
    if len(keys) == 1 and numbers:
        return line_figure(points, keys[0], None, topic)
    if len(keys) < 2:
        return dot_figure(points, keys, topic)
    if len(keys) > 2:
        return parallel_figure(points, keys, topic)
    if len(numbers) == 1 and len(distinct(points, others[0])) <= FEW and len(distinct(points, numbers[0])) > 2:
        return line_figure(points, numbers[0], others[0], topic)
    cells = len(distinct(points, keys[0])) * len(distinct(points, keys[1]))
    if len(numbers) == 2 and cells > 4 * len(points):  # a search: each point has its own row and column
        return scatter_figure(points, keys, topic)
    return heat_figure(points, keys, topic)


def points_of(sweep: dict[str, Any]) -> list[Point]:
    """A point a group; where the groups are all alike, as when only seeds were swept, a point a job."""
    jobs, groups = sweep["jobs"], sweep["groups"]
    best = (sweep.get("best") or {}).get("group")
    points = [
        point(group["values"], group["metrics"], [jobs[job]["status"] for job in group["jobs"]], number == best)
        for number, group in enumerate(groups)
    ]
    if len(points) == 1 and len(jobs) > 1:
        points = [point(job["values"], job["metrics"], [job["status"]], False) for job in jobs]
    return points


def point(values: dict[str, Any], metrics: dict[str, Any], statuses: list[str], best: bool) -> Point:
    pairs = {}
    for name, value in metrics.items():
        mean, std = (value.get("mean"), value.get("std")) if isinstance(value, dict) else (value, None)
        if is_finite(mean):
            pairs[name] = (mean, std if is_finite(std) else None)
    failed = any(status in FAILED for status in statuses)
    lost = "failed" if failed else "pruned" if "pruned" in statuses else "unfinished"
    return Point(values, pairs, "" if pairs else lost, bool(pairs) and failed, best)


def topic_of(sweep: dict[str, Any]) -> Topic:
    """The metric that ranks, else the first of the watched split; its loss beside it."""
    names = main_metrics(sweep)
    main = sweep["metric"] or next(iter(names), "val_loss")
    split, _, name = main.partition("_")
    watched = split if split in STYLES else "val"
    beside = ["loss"] if name != "loss" and f"{watched}_loss" in names else []
    lower = sweep["direction"] == "min" if sweep["metric"] else not main.endswith(HIGHER_IS_BETTER)
    return Topic(watched, [name if split in STYLES else main, *beside], lower)


def title(sweep: dict[str, Any], points: list[Point], topic: Topic) -> str:
    """What is seen, over how many runs, and how many of them failed."""
    sizes = {value["n"] for group in sweep["groups"] for value in group["metrics"].values() if value.get("n")}
    spread = (
        f", mean ± std of {max(sizes)}" if len(points) == len(sweep["groups"]) and max(sizes, default=1) > 1 else ""
    )
    failed = sum(job["status"] in FAILED for job in sweep["jobs"])
    lost = f"; {failed:,} of {counted(len(sweep['jobs']), 'job')} failed (✗)" if failed else ""
    return f"{shortened(sweep['name'], 40)}: {words(topic.main)}{spread}{lost}"


def varying(points: list[Point], keys: Sequence[str]) -> list[str]:
    """The keys by which the points differ, in the order of the sweep."""
    return [key for key in keys if len(distinct(points, key)) > 1]


def distinct(points: list[Point], key: str) -> list[Any]:
    """The values of ``key``: numbers by size, the rest as they come."""
    found: dict[str, Any] = {}
    for each in points:
        found.setdefault(text_of(each, key), each.values.get(key))
    return sorted(found.values()) if all(map(is_finite, found.values())) else list(found.values())


def numeric(points: list[Point], key: str) -> bool:
    return key not in RUNS and all(is_finite(each.values.get(key)) for each in points)


def text_of(each: Point, key: str) -> str:
    return setting(each.values[key]) if key in each.values else "–"


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


def bars_of(points: list[Point], name: str) -> list[tuple[float, float]]:
    """[(mean, std)] of a metric of every split."""
    found = [each.metrics.get(f"{split}_{name}") for each in points for split in STYLES]
    return [(value[0], value[1] or 0.0) for value in found if value]


def series(points: list[Point], key: str, metric: str) -> list[tuple[float, float, float | None]]:
    """[(x, mean, std)] by x, of the points that have the metric."""
    found = [(each.values[key], *each.metrics[metric]) for each in points if metric in each.metrics]
    return sorted(found, key=lambda row: row[0])


def draw_series(axes: Axes, rows: list[tuple[float, float, float | None]], scale: Scale, style: dict[str, Any]) -> None:
    """A line through what the scale holds, with error bars; a ▲ with its value for what is above it."""
    if not rows:
        return
    inside = [row if scale.holds(row[1]) else (row[0], float("nan"), None) for row in rows]
    xs, means, stds = zip(*inside, strict=True)
    errors = [std or 0.0 for std in stds] if any(stds) else None
    small = style["marker"] if len(rows) <= 60 else "."
    axes.errorbar(xs, means, yerr=errors, **{**style, "marker": small}, markersize=5, linewidth=1.6, capsize=3)
    for x, mean, _ in rows:
        if not scale.holds(mean):
            axes.plot([x], [0.975], "^", color=style["color"], markersize=6, transform=axes.get_xaxis_transform())
            above = {"xytext": (0, -12), "textcoords": "offset points", "ha": "center", "fontsize": 7}
            axes.annotate(f"{mean:.2g}", (x, 0.975), xycoords=axes.get_xaxis_transform(), color=style["color"], **above)


def spread_axis(axes: Axes, values: list[float]) -> None:
    """The x axis of a number: logarithmic over two decades or more, and each value named where there is room."""
    positive = [value for value in values if value > 0]
    log = len(positive) > 1 and spans(positive, DECADES)
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


def star(axes: Axes, x: float, y: float) -> None:
    """'★ best' above a point."""
    axes.annotate("★ best", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8, color=INK)


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
    """A dot a row with its error bar; ▶ at the edge with its value for what is beyond the axis."""
    rows = [(row, *each.metrics[metric]) for row, each in enumerate(shown) if metric in each.metrics]
    inside = [row for row in rows if scale.holds(row[1])]
    if inside:
        places, means, stds = zip(*inside, strict=True)
        errors = [std or 0.0 for std in stds] if any(stds) else None
        axes.errorbar(means, places, xerr=errors, **style, markersize=6, capsize=3)
    for row, mean, _ in rows:
        if not scale.holds(mean):
            axes.text(0.99, row, f"{mean:.2g} ▶", color=style["color"], va="center", ha="right", fontsize=7,
                      transform=axes.get_yaxis_transform())  # fmt: skip


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


def order_of(each: Point, topic: Topic) -> float:
    """The less the better; without a result last."""
    if topic.main not in each.metrics:
        return float("inf")
    mean = each.metrics[topic.main][0]
    return mean if topic.lower else -mean


def heat_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """A cell for each pair of values: the number, darker where it is better; hatched where all runs failed."""
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
    """The number of a cell (none if ``size`` is 0), or why it has none."""
    from matplotlib.patches import Rectangle

    value = cell.metrics.get(topic.main) if cell else None
    if value is None:
        failed = cell is not None and cell.state == "failed"
        frame = {"facecolor": "#E6E6E6" if cell else "white", "edgecolor": "#BBBBBB", "linewidth": 0.5}
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, hatch="////" if failed else None, **frame))
        text, colour = ("✗" if failed else cell.state if cell else "not run"), RED if failed else GREY
    else:
        red, green, blue, _ = image.cmap(image.norm(value[0]))
        text = measured(value[0]) + (" ✗" if cell.partly else "") + (" ★" if cell.best else "")
        colour = "white" if 0.3 * red + 0.6 * green + 0.1 * blue < 0.55 else INK
    if size or "✗" in text:
        weight = "bold" if cell and cell.best else "normal"
        axes.text(x, y, text if size else "✗", color=colour, ha="center", va="center", size=size or 6, weight=weight)


def scatter_figure(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Two numbers that a search drew: a dot a job, darker where it is better."""
    figure = new_figure(1000, 720)
    axes = figure.subplots()
    for axis, key in zip("xy", keys, strict=True):
        values = distinct(points, key)
        if values[0] > 0 and spans(values, DECADES):
            getattr(axes, f"set_{axis}scale")("log")
            getattr(axes, f"set_{axis}lim")(values[0] / 1.3, values[-1] * 1.3)
            plain_ticks(getattr(axes, f"{axis}axis"))
    done = sorted((each for each in points if topic.main in each.metrics), key=lambda each: -order_of(each, topic))
    means = [each.metrics[topic.main][0] for each in done]
    places = [[each.values[key] for each in done] for key in keys]
    dots = axes.scatter(*places, c=means, cmap=cmap(topic), norm=scale_of(means).norm(), edgecolors=INK, linewidths=0.4)
    if done:
        colour_bar(figure, dots, axes, topic)
    for kinds, style, label in (
        (("failed",), CROSS, "failed or diverged"),
        (("pruned", "unfinished"), OPEN, "pruned or not finished"),
    ):
        lost = [each for each in points if each.state in kinds]
        if lost:
            axes.plot(*([each.values[key] for each in lost] for key in keys), **style, label=label)
    for each in points:
        if each.best:
            star(axes, *(each.values[key] for key in keys))
    axes.set(xlabel=keys[0], ylabel=keys[1])
    finish(axes)
    return figure


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
            end, style = (
                float(norm(min(mean, scale.high))),
                {"color": colours(norm(mean)), "alpha": 0.8, "linewidth": thin},
            )
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


def cmap(topic: Topic) -> Any:
    """Dark is better, whichever way better is."""
    from matplotlib import colormaps

    return colormaps["viridis" if topic.lower else "viridis_r"]


def colour_bar(figure: Figure, image: Any, axes: Axes, topic: Topic) -> None:
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(f"{words(topic.main)} (darker is better)", fontsize=8)
    plain_ticks(bar.ax.yaxis)
    bar.ax.tick_params(labelsize=7)


def name_axis(axes: Axes, axis: str, key: str, values: list[Any]) -> None:
    """The values of a key beside their cells: every one, or as many as can be read."""
    step = max(1, -(-len(values) // MOST))
    texts = [shortened(setting(value), WORD) for value in values][::step]
    crowded = axis == "x" and max(map(len, texts)) * len(texts) > 70
    options = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    getattr(axes, f"set_{axis}ticks")(range(0, len(values), step), texts, fontsize=8, **options)
    getattr(axes, f"set_{axis}label")(key)
