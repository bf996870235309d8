"""The learning curves of a sweep of few runs, a panel per run: a gap between train and val shows overfitting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.report.curves import FEW, STYLES, number
from d2lrun.report.figure import new_figure, save
from d2lrun.report.labels import middle, uncommon
from d2lrun.report.layout import head, legend_above
from d2lrun.report.points import Topic, topic_of
from d2lrun.report.scale import Scale, scale_of
from d2lrun.report.text import settings, short_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 9  # most runs
ACROSS = 3  # panels in a row
NAME = 34  # most cells of a panel's title


def draw_few(sweep: dict[str, Any], records: list[list[dict[str, Any]]], path: Path) -> None:
    """Write a PNG with a panel for each of up to nine runs: the ranking metric of train and val (or test) by epoch.

    ``records`` are the lines of metrics.jsonl of each job. With more runs, or without a run of two epochs, no file is
    written, and the file of an earlier, smaller sweep is removed.
    """
    topic = topic_of(sweep)
    drawn = [place for place, found in enumerate(records) if len(series(found, topic)) > 0]
    if not 1 < len(drawn) <= MOST or max(len(records[place]) for place in drawn) < 2:
        path.unlink(missing_ok=True)
        return
    across = min(ACROSS, len(drawn)) if len(drawn) != 4 else 2
    down = -(-len(drawn) // across)
    figure = new_figure(510 * across, 110 + 400 * down)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    names = panel_names(sweep, drawn)
    lines = [value for place in drawn for values in series(records[place], topic).values() for value in values]
    scale = scale_of(lines)
    for axes, place, name in zip(panels.flat, drawn, names, strict=False):
        draw_panel(axes, records[place], topic, scale)
        best = sweep["jobs"][place].get("group") == (sweep.get("best") or {}).get("group", -1)
        axes.set_title(("★ " if best else "") + middle(name, NAME), fontsize=9, loc="left", pad=22)
    for axes in panels.flat[len(drawn) :]:
        axes.remove()
    for axes in panels[:, 0]:
        axes.set_ylabel(topic.names[0].replace("_", " "))
    head(figure, f"{middle(sweep['name'], 40)}: {topic.names[0].replace('_', ' ')} by epoch")
    figure.set_layout_engine("tight")
    save(figure, path)


def panel_names(sweep: dict[str, Any], drawn: list[int]) -> list[str]:
    """Return the values that distinguish each run, such as 'degree=4'."""
    names = short_names(sweep["keys"])
    return uncommon([settings(sweep["jobs"][place]["values"], names) or sweep["name"] for place in drawn])


def series(records: list[dict[str, Any]], topic: Topic) -> dict[str, list[float]]:
    """Return {split: values} of the main metric, for the splits that were measured after each epoch."""
    keys = {split: f"{split}_{topic.names[0]}" for split in STYLES}
    return {
        split: [number(record.get(key)) for record in records]
        for split, key in keys.items()
        if any(record.get(key) is not None for record in records)
    }


def draw_panel(axes: Axes, records: list[dict[str, Any]], topic: Topic, scale: Scale) -> None:
    """Draw one run; all panels have the same axis of the metric, and values out of view are cut."""
    from matplotlib.ticker import MaxNLocator

    epochs = [record["epoch"] for record in records]
    scale.apply(axes)
    for split, values in series(records, topic).items():
        marker = STYLES[split]["marker"] if len(records) <= FEW else ""
        axes.plot(epochs, values, **{**STYLES[split], "marker": marker}, markersize=3.5, linewidth=1.6, label=split)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    legend_above(axes, 400)
