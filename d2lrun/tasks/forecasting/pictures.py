"""Pictures of a forecast: the series with its parts, and its predictions one and several steps ahead (book 8.1)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.figure import GREY, INK, PALETTE, new_figure, save
from d2lrun.report.layout import head
from d2lrun.tasks.forecasting.predict import Forecasts
from d2lrun.tasks.forecasting.series import SeriesDataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 1200, 420  # pixels of a panel
MOST = 20_000  # most points of a drawn series: a longer one is thinned


def draw_series(path: str | Path, data: SeriesDataset) -> None:
    """Write a PNG: the values that train, the values that test, and the series without its noise if it is known."""
    figure = new_figure(WIDTH, HEIGHT)
    head(figure, data.name)
    figure.set_layout_engine("tight")
    axes = plain(figure.subplots())
    every = 1 + len(data.values) // MOST
    for place, (name, start, end) in enumerate(
        (("train", 0, data.train), ("test", data.train, len(data.values))),
    ):
        times = range(start, end, every)
        axes.plot(times, data.values[start:end:every], color=PALETTE[place], linewidth=0.8, label=name)
    if data.signal is not None:
        axes.plot(range(0, len(data.values), every), data.signal[::every], color=INK, linestyle="--", label="signal")
    axes.set(xlabel="time", ylabel=data.column)
    axes.legend(loc="best", fontsize=8, framealpha=0.8)
    save(figure, path)


def draw_forecasts(path: str | Path, data: SeriesDataset, found: Forecasts, title: str) -> None:
    """Write a PNG of two panels: one step ahead and the free run; predictions of several steps ahead."""
    figure = new_figure(WIDTH, 2 * HEIGHT)
    head(figure, title)
    figure.set_layout_engine("tight")
    above, below = map(plain, figure.subplots(2, 1, sharex=True, sharey=True))
    for axes in (above, below):
        axes.plot(range(found.first, found.end), data.values[found.first : found.end], ".", color=GREY, markersize=2.5)
        axes.axvline(found.begin, color=INK, linewidth=0.8, linestyle=":")
        axes.set(ylabel=data.column)
    above.plot(range(found.start(1), found.end), found.ahead[1], color=PALETTE[0], linewidth=1, label="1 step ahead")
    above.plot(range(found.begin, found.end), found.free, color=PALETTE[1], linewidth=1.6, label="free run")
    for place, (k, predicted) in enumerate(found.ahead.items()):
        words = f"{k} step{'s' if k > 1 else ''} ahead"
        below.plot(range(found.start(k), found.end), predicted, color=PALETTE[place], linewidth=1, label=words)
    below.set(xlabel="time")
    for axes in (above, below):
        limits(axes, data, found)
        axes.legend(loc="best", fontsize=8, framealpha=0.8)
    save(figure, path)


def limits(axes: Axes, data: SeriesDataset, found: Forecasts) -> None:
    """Show the range of the values and half of it beyond: predictions that leave it must not flatten the series."""
    values = data.values[found.first : found.end]
    low, high = values.min().item(), values.max().item()
    room = (high - low) / 2 or abs(high) / 2 or 0.5
    axes.set_ylim(low - room, high + room)


def plain(axes: Axes) -> Axes:
    """Return the axes without a frame, with a pale grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes
