"""The curves of many runs in one picture: a colour a run, train dashed, what was watched solid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.report.curves import FEW, metric_names, number
from d2lrun.report.figure import GREY, INK, PALETTE, new_figure, save
from d2lrun.report.scale import scale_of
from d2lrun.report.text import counted, measured, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curves = Sequence[tuple[str, list[dict[str, Any]], bool]]

SPLITS = ("train", "val", "test")
PANELS = 3
LEGEND = 60  # characters of a run's label


def draw_overlay(runs: Curves, path: str | Path) -> None:
    """Write a PNG with a panel a metric; a run is (label, records of metrics.jsonl, whether it leads).

    Up to ten runs have a colour each; of more, all are thin and the best stands out. No record: no file.
    """
    runs = [run for run in runs if run[1]]
    if not runs:
        return
    names = metric_names([record for _, records, _ in runs for record in records])[:PANELS]
    lines = len(runs) if len(runs) <= len(PALETTE) else 2
    figure = new_figure(max(1000, 750 * len(names)), 640 + 32 * lines)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        draw_panel(axes, name, runs)
    figure.suptitle(title(runs, names), x=0.01, ha="left", color=INK, fontsize=10, fontweight="bold")
    lines_of = dict(pair[::-1] for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True))
    bottom = (32 * lines + 20) / (640 + 32 * lines)
    figure.legend(lines_of.values(), lines_of, loc="lower left", fontsize=8, frameon=False, bbox_to_anchor=(0.01, 0.0))
    figure.tight_layout(rect=(0, bottom, 1, 1))
    save(figure, path)


def title(runs: Curves, names: list[str]) -> str:
    watched = [split for split in ("val", "test") if any(watches(records, split) for _, records, _ in runs)]
    lines = "; ".join(["train dashed", *([f"{' or '.join(watched)} solid"] if watched else [])])
    return f"{counted(len(runs), 'run')}: {', '.join(names)} ({lines})"


def watches(records: list[dict[str, Any]], split: str) -> bool:
    return any(key.startswith(f"{split}_") for record in records for key in record)


def draw_panel(axes: Axes, name: str, runs: Curves) -> None:
    """One metric of all runs. Val where a run has it, else test; the best is drawn last."""
    from matplotlib.ticker import MaxNLocator

    values = [number(record.get(f"{split}_{name}")) for _, records, _ in runs for record in records for split in SPLITS]
    scale = scale_of(values)
    scale.apply(axes)
    many = len(runs) > len(PALETTE)
    longest = max(len(records) for _, records, _ in runs)
    for place, (label, records, best) in sorted(enumerate(runs), key=lambda item: item[1][2]):
        style = {"color": PALETTE[place % len(PALETTE)], "linewidth": 1.6, "label": shortened(label, LEGEND)}
        if many:
            style |= {"color": GREY, "linewidth": 0.6, "alpha": 0.7, "label": "_nolegend_"}
        if best:
            own = {"color": PALETTE[0]} if many else {}
            style |= {**own, "linewidth": 2.6, "alpha": 1.0, "label": f"★ {shortened(label, LEGEND)}"}
        draw_run(axes, name, records, style, marked=longest <= FEW and not many)
    if many:
        axes.plot([], [], color=GREY, linewidth=0.6, label=f"{len(runs) - any(best for *_, best in runs):,} others")
    cut = [f"below {measured(scale.low)}"] if any(value < scale.low for value in values) else []
    cut += [f"above {measured(scale.high)}"] if any(value > scale.high for value in values) else []
    axes.set(xlabel="epoch", ylabel=f"{name} (cut {' and '.join(cut)})" if cut else name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)


def draw_run(axes: Axes, name: str, records: list[dict[str, Any]], style: dict[str, Any], marked: bool) -> None:
    """The watched split solid with markers, train dashed; alone, train is solid and has the label."""
    epochs = [record["epoch"] for record in records]
    watched = next((split for split in ("val", "test") if any(f"{split}_{name}" in record for record in records)), None)
    for split in ("train", watched):
        if split is None or not any(f"{split}_{name}" in record for record in records):
            continue
        main = split == watched or watched is None
        own = style if main else {**style, "label": "_nolegend_", "linewidth": 0.7 * style["linewidth"]}
        marker = "o" if (marked and main) or len(records) == 1 else ""
        ys = [number(record.get(f"{split}_{name}")) for record in records]
        axes.plot(epochs, ys, linestyle="-" if main else "--", marker=marker, markersize=3.5, **own)
