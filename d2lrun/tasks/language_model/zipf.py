"""The frequencies of words, bigrams and trigrams by rank: close to a straight line (Zipf's law, book 8.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.report.figure import new_figure, save
from d2lrun.report.layout import head

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours for colour-blind readers (Okabe and Ito), and dash patterns for print.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "linestyle": "-"},
    {"color": "#D55E00", "linestyle": "--"},
    {"color": "#009E73", "linestyle": "-."},
)


def draw_zipf(path: str | Path, frequencies: Mapping[str, Sequence[int]], title: str) -> None:
    """Write a PNG with a curve for each name, such as "bigrams", of the descending ``frequencies``.

    If there are no frequencies, no file is written.
    """
    if not any(frequencies.values()):
        return
    figure = new_figure(900, 650)
    head(figure, title)
    draw_panel(figure.subplots(), frequencies)
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_panel(axes: Axes, frequencies: Mapping[str, Sequence[int]]) -> None:
    """Draw the curves on logarithmic axes; a text without trigrams has no curve for them."""
    from matplotlib.ticker import NullFormatter, StrMethodFormatter

    for style, (name, counts) in zip(STYLES, frequencies.items(), strict=False):
        if counts:
            label = f"{name}: {len(counts):,} types"
            marker = "." if len(counts) == 1 else ""  # a line needs two points
            axes.plot(range(1, len(counts) + 1), counts, **style, marker=marker, linewidth=1.6, label=label)
    axes.set(xscale="log", yscale="log", xlabel="rank", ylabel="frequency")
    highest = max(max(counts, default=1) for counts in frequencies.values())
    longest = max(map(len, frequencies.values()))
    axes.set(xlim=(0.8, 1.4 * max(longest, 10)), ylim=(0.8, 1.4 * max(highest, 10)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.8)
