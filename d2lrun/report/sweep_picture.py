"""The picture of a sweep: a line for one number, dots for words, a heat map for two keys, else parallel coordinates.

Failed jobs are drawn as ✗ and never left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.report.figure import save
from d2lrun.report.heat import heat_figure, scatter_figure
from d2lrun.report.labels import middle
from d2lrun.report.layout import head
from d2lrun.report.lines import dot_figure, line_figure
from d2lrun.report.parallel import parallel_figure
from d2lrun.report.points import Point, Topic, distinct, numeric, points_of, topic_of, varying
from d2lrun.report.sweep import FAILED, words
from d2lrun.report.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FEW = 5  # most lines in one panel


def draw_sweep(sweep: dict[str, Any], path: str | Path) -> None:
    """Write a PNG of the ranking metric (else accuracy, perplexity or loss) over the swept values.

    Without a group, no file is written.
    """
    points = points_of(sweep)
    if not points:
        return
    keys = varying(points, sweep["keys"])
    topic = topic_of(sweep)
    figure = draw_points(points, keys, topic)
    head(figure, title(sweep, points, topic))
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_points(points: list[Point], keys: list[str], topic: Topic) -> Figure:
    """Return the kind of figure that fits the number of keys and the kind of their values."""
    numbers = [key for key in keys if numeric(points, key)]
    others = [key for key in keys if key not in numbers]
    if len(keys) == 1 and numbers:
        return line_figure(points, keys[0], None, topic)
    if len(keys) < 2:
        return dot_figure(points, keys, topic)
    if len(keys) > 2:
        return parallel_figure(points, keys, topic)
    sparse = any(len(distinct(points, key)) > 0.75 * len(points) for key in numbers)  # a search: few values repeat
    if sparse and len(numbers) == 2:
        return scatter_figure(points, keys, topic)
    if sparse and len(numbers) == 1 and len(distinct(points, others[0])) <= FEW:
        return line_figure(points, numbers[0], others[0], topic)
    return heat_figure(points, keys, topic)


def title(sweep: dict[str, Any], points: list[Point], topic: Topic) -> str:
    """Return the title: the metric, the number of runs, and how many of them failed."""
    sizes = {value["n"] for group in sweep["groups"] for value in group["metrics"].values() if value.get("n")}
    spread = (
        f", mean ± std of {max(sizes)}" if len(points) == len(sweep["groups"]) and max(sizes, default=1) > 1 else ""
    )
    failed = sum(job["status"] in FAILED for job in sweep["jobs"])
    lost = f"; {failed:,} of {counted(len(sweep['jobs']), 'job')} failed (✗)" if failed else ""
    return f"{middle(sweep['name'], 40)}: {words(topic.main)}{spread}{lost}"
