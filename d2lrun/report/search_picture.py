"""Pictures of a search: the value of each trial and the best so far, and the importance of the keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import is_finite
from d2lrun.report.figure import GREY, INK, PALETTE, RED, new_figure, save
from d2lrun.report.labels import middle
from d2lrun.report.layout import head, legend_above
from d2lrun.report.points import HOLLOW
from d2lrun.report.scale import Scale, scale_of
from d2lrun.report.sweep import words
from d2lrun.report.text import measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDE = 860  # approximate width of the axes, in pixels
MOST = 30  # most keys in the picture of importance


def draw_history(
    trials: Sequence[Mapping[str, Any]], path: str | Path, metric: str, direction: str = "max", title: str = "search"
) -> None:
    """Write a PNG: a dot per trial, hollow if it was pruned, ✗ if it failed, and a line for the best so far.

    A trial is {"number": 0, "value": 0.8 or None, "status": "finished", "pruned", "failed", ...}. Only finished trials
    can be the best. Without a trial, no file is written.
    """
    if not trials:
        return
    figure = new_figure(1000, 640)
    axes = figure.subplots()
    ordered = sorted(trials, key=lambda trial: trial["number"])
    scale = scale_of(trial["value"] for trial in ordered if is_finite(trial["value"]))
    scale.apply(axes)
    draw_trials(axes, ordered, scale, bottom=direction == "max")
    if best := best_so_far(ordered, direction):
        label = f"best of the finished: {measured(best[-1][1])}"
        numbers, values = zip(*[*best, (ordered[-1]["number"], best[-1][1])], strict=True)
        axes.step(numbers, values, where="post", color=PALETTE[1], linewidth=1.6, label=label)
    axes.set(xlabel="trial", ylabel=words(metric))
    integers(axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    legend_above(axes, WIDE)
    head(figure, title)
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_trials(axes: Axes, trials: Sequence[Mapping[str, Any]], scale: Scale, bottom: bool) -> None:
    """Draw each trial: at its value, at the edge if it is far from the others, at the worst edge without a value."""
    kinds = {
        "finished": {"marker": "o", "color": PALETTE[0]},
        "pruned": HOLLOW,
        "failed": {"marker": "x", "color": RED, "markeredgewidth": 2},
    }
    for kind, style in kinds.items():
        own = [trial for trial in trials if kind_of(trial) == kind]
        inside = [trial for trial in own if is_finite(trial["value"]) and scale.holds(trial["value"])]
        label = f"{kind} ({len(own):,})" + (": value when stopped" if kind == "pruned" else "")
        for part, across in ((inside, False), ([trial for trial in own if trial not in inside], True)):
            if part:
                xs = [trial["number"] for trial in part]
                ys = [edge_of(trial, scale, bottom) if across else trial["value"] for trial in part]
                place: dict[str, Any] = {"transform": axes.get_xaxis_transform()} if across else {}
                axes.plot(xs, ys, **{**style, **place, "linestyle": "", "markersize": 5, "label": label})
                label = "_nolegend_"
    for trial in trials:
        if is_finite(trial["value"]) and not scale.holds(trial["value"]):
            edge, transform = edge_of(trial, scale, bottom), axes.get_xaxis_transform()
            look: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7, "color": GREY}
            shift = (0, -12 if edge > 0.5 else 6)
            axes.annotate(f"{trial['value']:.2g}", (trial["number"], edge), shift, xycoords=transform, **look)


def edge_of(trial: Mapping[str, Any], scale: Scale, bottom: bool) -> float:
    """Return the position of a trial out of view; ``bottom``: trials without a value are below the others."""
    return scale.edge(trial["value"] if is_finite(trial["value"]) else -math.inf if bottom else math.inf)


def kind_of(trial: Mapping[str, Any]) -> str:
    """Return finished, pruned, or failed; failed includes every other trial without a value."""
    if trial["status"] == "finished" and not is_finite(trial["value"]):
        return "failed"
    return {"finished": "finished", "pruned": "pruned", "running": "", "pending": ""}.get(trial["status"], "failed")


def best_so_far(trials: Sequence[Mapping[str, Any]], direction: str) -> list[tuple[int, float]]:
    """Return [(number, value)] of the finished trials that were better than all earlier trials."""
    best: list[tuple[int, float]] = []
    for trial in trials:
        if kind_of(trial) == "finished":
            value = trial["value"]
            if not best or (value > best[-1][1] if direction == "max" else value < best[-1][1]):
                best.append((trial["number"], value))
    return best


def draw_importance(shares: Mapping[str, float], path: str | Path, metric: str, title: str = "importance") -> None:
    """Write a PNG with a bar per key: its share in deciding whether a trial is among the best. ``shares`` sum to 1.

    Without a share, no file is written.
    """
    ordered = sorted(shares.items(), key=lambda item: -item[1])[:MOST]
    if not ordered:
        return
    figure = new_figure(900, 220 + 45 * max(2, len(ordered)))
    axes = figure.subplots()
    rows = range(len(ordered))
    axes.barh(rows, [share for _, share in ordered], color=PALETTE[0], height=0.6)
    for row, (_, share) in enumerate(ordered):
        axes.text(share + 0.01, row, f"{share:.0%}" if share >= 0.01 else "< 1%", va="center", fontsize=8, color=INK)
    axes.set_yticks(rows, [middle(key, 32) for key, _ in ordered])
    axes.set(xlim=(0, 1.1), ylim=(len(ordered) - 0.4, -0.6), xlabel=f"share in what makes the best {words(metric)}")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.spines[["top", "right"]].set_visible(False)
    head(figure, title)
    figure.set_layout_engine("tight")
    save(figure, path)


def integers(axes: Axes) -> None:
    """Put the ticks of the x axis at whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
