"""The curves of many runs in one picture: a colour per run, train dashed, val or test solid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import SPLITS
from d2lrun.report.curves import FEW, metric_names, number
from d2lrun.report.figure import DPI, GREY, PALETTE, new_figure, save
from d2lrun.report.labels import middle
from d2lrun.report.layout import columns_of, dress, head, measuring
from d2lrun.report.scale import scale_of
from d2lrun.report.text import counted, measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Curves = Sequence[tuple[str, list[dict[str, Any]], bool]]

PANELS = 3
MARKERS = ("o", "s", "^", "D")  # every ten runs have the colours of the palette and their own marker
MOST = len(PALETTE) * len(MARKERS)  # runs with different styles
MARKED = 10  # markers on a line of many epochs
LEGEND = 60  # most cells of a run's label
HEIGHT = 640


def draw_overlay(runs: Curves, path: str | Path) -> None:
    """Write a PNG with a panel per metric; a run is (label, records of metrics.jsonl, whether it is the best).

    Up to forty runs have their own line in the legend; of more runs, all are thin and the best is highlighted. Without
    a record, no file is written.
    """
    runs = [run for run in runs if run[1]]
    if not runs:
        return
    names = metric_names([record for _, records, _ in runs for record in records])[:PANELS]
    width = max(1000, 750 * len(names))
    figure = new_figure(width, HEIGHT)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        draw_panel(axes, name, runs)
    head(figure, title(runs, names))
    add_legend(figure, width, legend_lines(runs))
    save(figure, path)


def legend_lines(runs: Curves) -> list[Line2D]:
    """Return a legend line per run, also for equal labels; with too many runs, one for the best and one for others."""
    from matplotlib.lines import Line2D

    named = [
        Line2D([], [], **style_of(place, best, len(runs)), label=("★ " if best else "") + middle(label, LEGEND))
        for place, (label, _, best) in enumerate(runs)
        if best or len(runs) <= MOST
    ]
    others = len(runs) - len(named)
    return named + [Line2D([], [], **style_of(0, False, len(runs)), label=f"{others:,} others")] * bool(others)


def style_of(place: int, best: bool, count: int) -> dict[str, Any]:
    """Return the line style of the run with this index among ``count``: all differ if there are enough styles."""
    if count > MOST:
        style = {"color": GREY, "linewidth": 0.6, "alpha": 0.7}
        return style | {"color": PALETTE[0], "linewidth": 2.6, "alpha": 1.0} if best else style
    own = {"color": PALETTE[place % len(PALETTE)], "marker": MARKERS[place // len(PALETTE)], "markersize": 3.5}
    return own | {"linewidth": 2.6 if best else 1.6}


def add_legend(figure: Figure, width: float, lines: list[Line2D]) -> None:
    """Put the legend below the panels, in as many columns as fit, and increase the height of the figure."""
    columns = columns_of([str(line.get_label()) for line in lines], width)
    legend = figure.legend(
        handles=lines, loc="lower left", bbox_to_anchor=(0.01, 0), ncols=columns, fontsize=8, frameon=False
    )
    dress(figure)
    with measuring():
        height = legend.get_window_extent().height
    figure.set_figheight((HEIGHT + height) / DPI)
    figure.set_layout_engine("tight", rect=(0, height / (HEIGHT + height), 1, 1))


def title(runs: Curves, names: list[str]) -> str:
    """Return the title: the number of runs, the metrics, and the meaning of the lines."""
    watched = [split for split in ("val", "test") if any(watches(records, split) for _, records, _ in runs)]
    lines = "; ".join(["train dashed", *([f"{' or '.join(watched)} solid"] if watched else [])])
    return f"{counted(len(runs), 'run')}: {', '.join(names)} ({lines})"


def watches(records: list[dict[str, Any]], split: str) -> bool:
    """Whether the records have a metric of the split."""
    return any(key.startswith(f"{split}_") for record in records for key in record)


def draw_panel(axes: Axes, name: str, runs: Curves) -> None:
    """Draw one metric of all runs: val if a run has it, else test; the best run is drawn last."""
    from matplotlib.ticker import MaxNLocator

    values = [number(record.get(f"{split}_{name}")) for _, records, _ in runs for record in records for split in SPLITS]
    scale = scale_of(values)
    scale.apply(axes)
    longest = max(len(records) for _, records, _ in runs)
    plain = longest > FEW and len(runs) <= len(PALETTE)  # colours are enough, and markers would hide the lines
    for place, (_, records, best) in sorted(enumerate(runs), key=lambda item: item[1][2]):
        style = style_of(place, best, len(runs))
        draw_run(axes, name, records, style | {"marker": ""} if plain else style)
    cut = [f"below {measured(scale.low)}"] if any(value < scale.low for value in values) else []
    cut += [f"above {measured(scale.high)}"] if any(value > scale.high for value in values) else []
    axes.set(xlabel="epoch", ylabel=f"{name} (cut {' and '.join(cut)})" if cut else name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def draw_run(axes: Axes, name: str, records: list[dict[str, Any]], style: dict[str, Any]) -> None:
    """Draw val or test solid with markers and train thin and dashed; train alone is solid."""
    epochs = [record["epoch"] for record in records]
    watched = next((split for split in ("val", "test") if any(f"{split}_{name}" in record for record in records)), None)
    for split in ("train", watched):
        if split is None or not any(f"{split}_{name}" in record for record in records):
            continue
        main = split == watched or watched is None
        own = style if main else {**style, "marker": "", "linewidth": 0.7 * style["linewidth"]}
        own |= {"marker": "o"} if len(records) == 1 else {}
        ys = [number(record.get(f"{split}_{name}")) for record in records]
        every = max(1, len(records) // MARKED)
        axes.plot(epochs, ys, linestyle="-" if main else "--", markevery=every, **own)
