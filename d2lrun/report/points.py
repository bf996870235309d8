"""The data of a sweep's pictures: a point per combination of values, and the metric to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import direction, is_finite, mean_and_std
from d2lrun.report.curves import STYLES
from d2lrun.report.figure import GREY, INK, RED
from d2lrun.report.scale import plain_ticks
from d2lrun.report.sweep import FAILED, main_metrics, shown_metrics, words
from d2lrun.report.text import setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RUNS = ("seed", "validation.fold")  # numbers that are only names
MOST = 40  # most words on one axis
WORD = 24  # most characters of a value on an axis
CROSS: dict[str, Any] = {"marker": "x", "color": RED, "linestyle": "", "markersize": 7, "markeredgewidth": 2}
OPEN: dict[str, Any] = {"marker": "s", "color": GREY, "linestyle": "", "markersize": 6, "fillstyle": "none"}
HOLLOW: dict[str, Any] = {"marker": "o", "color": INK, "linestyle": "", "markersize": 6, "fillstyle": "none"}
PRUNED = "pruned: value when stopped"
STAR: dict[str, Any] = {
    "marker": "*",
    "color": "#E69F00",
    "linestyle": "",
    "markersize": 15,
    "markeredgecolor": INK,
    "zorder": 5,
}


@dataclass
class Point:
    """The result of one combination of values."""

    values: dict[str, Any]
    metrics: dict[str, tuple[float, float | None]]  # mean, and std if there is one
    state: str = ""  # failed, pruned or unfinished; "" if there is a result. A pruned point also has metrics
    partly: bool = False  # some of its runs failed
    best: bool = False


@dataclass
class Topic:
    """The metrics ``names`` to draw, the main one first, for the ``watched`` split (val or test) and for train."""

    watched: str
    names: list[str]
    lower: bool  # whether a lower value is better
    joined: bool = True  # whether a line joins adjacent values; not for values from a search
    log: frozenset[str] = frozenset()  # keys that were searched on a logarithmic scale

    @property
    def main(self) -> str:
        """The main metric: the first of ``names``, of the watched split."""
        return f"{self.watched}_{self.names[0]}"


def points_of(sweep: dict[str, Any]) -> list[Point]:
    """Return a point per group; if there is only one setting, as in a sweep over seeds, a point per job."""
    jobs, groups = sweep["jobs"], sweep["groups"]
    best = (sweep.get("best") or {}).get("group")
    statuses = [[jobs[job]["status"] for job in group["jobs"]] for group in groups]
    points = [
        point(group["values"], shown_metrics(sweep, group), statuses[number], number == best)
        for number, group in enumerate(groups)
    ]
    if len(points) == 1 and len(jobs) > 1:
        points = [point(job["values"], job["metrics"], [job["status"]], False) for job in jobs]
    return points


def point(values: dict[str, Any], metrics: dict[str, Any], statuses: list[str], best: bool) -> Point:
    """Return the point of a group or job."""
    pairs = {}
    for name, value in metrics.items():
        mean, std = mean_and_std(value)
        if mean is not None:
            pairs[name] = (mean, std)
    failed = any(status in FAILED for status in statuses)
    if "finished" in statuses and pairs:
        return Point(values, pairs, "", failed, best)
    state = "failed" if failed else "pruned" if "pruned" in statuses else "unfinished"
    return Point(values, pairs if state == "pruned" else {}, state)


def topic_of(sweep: dict[str, Any]) -> Topic:
    """Return the Topic: the ranking metric, else the first metric of the watched split, and its loss."""
    names = main_metrics(sweep)
    main = sweep["metric"] or next(iter(names), "val_loss")
    split, _, name = main.partition("_")
    watched = split if split in STYLES else "val"
    beside = ["loss"] if name != "loss" and f"{watched}_loss" in names else []
    lower = sweep["direction"] == "min" if sweep["metric"] else direction(main) == "min"
    names = [name if split in STYLES else main, *beside]
    return Topic(watched, names, lower, sweep.get("engine") != "optuna", frozenset(sweep.get("log", ())))


def varying(points: list[Point], keys: Sequence[str]) -> list[str]:
    """Return the keys in which the points differ, in the order of the sweep."""
    return [key for key in keys if len(distinct(points, key)) > 1]


def distinct(points: list[Point], key: str) -> list[Any]:
    """Return the values of ``key``: numbers sorted by size, others in their order."""
    found: dict[str, Any] = {}
    for each in points:
        found.setdefault(text_of(each, key), each.values.get(key))
    return sorted(found.values()) if all(map(is_finite, found.values())) else list(found.values())


def numeric(points: list[Point], key: str) -> bool:
    """Whether all values of ``key`` are numbers, and not only names such as a seed."""
    return key not in RUNS and all(is_finite(each.values.get(key)) for each in points)


def text_of(each: Point, key: str) -> str:
    """Return the value of ``key`` as text; – if there is none."""
    return setting(each.values[key]) if key in each.values else "–"


def bars_of(points: list[Point], name: str) -> list[tuple[float, float]]:
    """Return [(mean, std)] of a metric for every split."""
    found = [each.metrics.get(f"{split}_{name}") for each in points for split in STYLES]
    return [(value[0], value[1] or 0.0) for value in found if value]


def done(each: Point, metric: str) -> bool:
    """Whether a combination has finished and has the metric."""
    return not each.state and metric in each.metrics


def order_of(each: Point, topic: Topic) -> float:
    """Return the sort key of a point: lower is better; points without a result are last."""
    if not done(each, topic.main):
        return float("inf")
    mean = each.metrics[topic.main][0]
    return mean if topic.lower else -mean


def star(axes: Axes, x: float, y: float) -> None:
    """Draw a star on the best point."""
    axes.plot([x], [y], **STAR, label="best")


def pruned(axes: Axes, points: list[Point], metric: str, place: Callable[[Point], tuple[float, float]]) -> None:
    """Draw a hollow dot for each pruned trial with the metric, at the (x, y) that ``place`` returns."""
    places = [place(each) for each in points if each.state == "pruned" and metric in each.metrics]
    if places:
        axes.plot(*zip(*places, strict=True), **HOLLOW, label=PRUNED)


def cmap(topic: Topic) -> Any:
    """Return the colour map: darker is better, for both directions of the metric."""
    from matplotlib import colormaps

    return colormaps["viridis" if topic.lower else "viridis_r"]


def colour_bar(figure: Figure, image: Any, axes: Axes, topic: Topic) -> None:
    """Draw the colour bar of the main metric."""
    bar = figure.colorbar(image, ax=axes)
    bar.set_label(f"{words(topic.main)} (darker is better)", fontsize=8)
    plain_ticks(bar.ax.yaxis)
    bar.ax.tick_params(labelsize=7)
