"""Loss and accuracy over the epochs, with the band of the book's own runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import direction
from d2lrun.report.figure import new_figure, save
from d2lrun.report.layout import head
from d2lrun.report.scale import plain_ticks
from d2lrun.report.text import measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours for colour-blind readers (Okabe and Ito), and a dash pattern and marker for print.
STYLES: dict[str, dict[str, Any]] = {
    "train": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "val": {"color": "#009E73", "linestyle": "--", "marker": "s"},
    "test": {"color": "#D55E00", "linestyle": "-.", "marker": "^"},
}
FEW = 30  # with at most so many epochs, each has a marker
STEEP = 200  # if the largest value is so many times the smallest, the axis is logarithmic


def draw_curves(
    records: list[dict[str, Any]], path: str | Path, title: str, band: dict[str, list[float]] | None = None
) -> None:
    """Write a PNG with one panel for loss, one for accuracy, and one for each other metric of the records.

    ``records`` are the lines of metrics.jsonl; ``band`` is {"train_loss": [low, high], ...} for the last epoch.
    Without a record, no file is written.
    """
    if not records:
        return
    names = metric_names(records)
    figure = new_figure(750 * len(names), 600)
    head(figure, title)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        draw_panel(axes, name, records, band or {})
    figure.set_layout_engine("tight")
    save(figure, path)


def metric_names(records: list[dict[str, Any]]) -> list[str]:
    """Return the measured metrics, such as ["loss", "accuracy"], in the order of the records."""
    parts = [key.partition("_") for record in records for key in record]
    return list(dict.fromkeys(name for split, _, name in parts if split in STYLES))


def draw_panel(axes: Axes, name: str, records: list[dict[str, Any]], band: dict[str, list[float]]) -> None:
    """Draw one metric: a line per split, labelled with its final value."""
    from matplotlib.ticker import MaxNLocator

    epochs = [record["epoch"] for record in records]
    first, last = epochs[0], epochs[-1]
    margin = max(0.3, 0.03 * (last - first))
    for split, style in STYLES.items():
        key = f"{split}_{name}"
        if any(key in record for record in records):
            values = [number(record.get(key)) for record in records]
            marker = style["marker"] if len(records) <= FEW else ""
            label = f"{split} {final(epochs, values)}"
            axes.plot(epochs, values, **{**style, "marker": marker}, markersize=4, linewidth=1.6, label=label)
        if key in band:
            draw_band(axes, (last - margin, last + margin), band[key], style["color"], split)
    axes.set(xlabel="epoch", ylabel=name.replace("_", " "), xlim=(first - 2 * margin, last + 2 * margin))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if steep([number(record.get(f"{split}_{name}")) for record in records for split in STYLES]):
        axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="lower right" if direction(name) == "max" else "upper right", fontsize=8, framealpha=0.8)


def steep(values: list[float]) -> bool:
    """Whether ``values`` need a logarithmic axis; NaN is ignored."""
    seen = [value for value in values if not math.isnan(value)]
    return bool(seen) and min(seen) > 0 and max(seen) > STEEP * min(seen)


def draw_band(axes: Axes, span: tuple[float, float], ends: list[float], color: str, split: str) -> None:
    """Draw a shaded box at the last epoch, with the final values of the book's builds."""
    label = f"book, {split} [{ends[0]:.3f}, {ends[1]:.3f}]"
    axes.fill_between(
        span, ends[0], ends[1], facecolor=color, edgecolor=color, alpha=0.3, linewidth=1, label=label, zorder=1.5
    )


def final(epochs: list[int], values: list[float]) -> str:
    """Return the last value as text, or the epoch since which it is NaN."""
    if math.isfinite(values[-1]):
        return measured(values[-1])
    finite = [epoch for epoch, value in zip(epochs, values, strict=True) if math.isfinite(value)]
    return f"nan from epoch {finite[-1] + 1 if finite else epochs[0]}"


def number(value: float | None) -> float:
    """Return the value, but NaN for null and infinities, which matplotlib cannot draw."""
    return value if value is not None and math.isfinite(value) else math.nan
