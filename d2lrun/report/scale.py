"""The range of an axis: a job that nearly diverged must not flatten all other jobs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.colors import Normalize

DECADES = 100  # ratio of the largest to the smallest value of a metric; from here, its axis is logarithmic
DECADE = 10  # the same ratio for the values of a swept key
SPAN = 1e4  # ratio of adjacent values; a larger gap does not fit one axis
EDGES = (0.025, 0.975)  # positions along the axis for values below and above its range


@dataclass(frozen=True)
class Scale:
    """The visible range from ``low`` to ``high``; other values are drawn at the edge, with a remark."""

    low: float
    high: float
    log: bool

    def holds(self, value: float) -> bool:
        """Whether a value is in view."""
        return self.low <= value <= self.high

    def edge(self, value: float) -> float:
        """Return the position along the axis, from 0 to 1, of a value that is out of view."""
        return EDGES[value > self.high]

    def norm(self) -> Normalize:
        """For colours."""
        from matplotlib.colors import LogNorm, Normalize

        return (LogNorm if self.log else Normalize)(self.low, self.high, clip=True)

    def apply(self, axes: Axes, axis: str = "y", bars: Iterable[tuple[float, float]] = ()) -> None:
        """Set the range of the axes, with a margin, and with the error ``bars`` (mean, std) of visible values."""
        held = [(mean, std) for mean, std in bars if self.holds(mean)]
        low = min([self.low, *(mean - std for mean, std in held if mean > std or not self.log)])
        high = max([self.high, *(mean + std for mean, std in held)])
        if self.log:
            getattr(axes, f"set_{axis}scale")("log")
            room = (high / low) ** 0.06 * 1.02
            ends = low / room, high * room**1.5
        else:
            room = 0.06 * (high - low) or 0.05 * abs(high) or 0.05
            ends = low - room, high + 1.5 * room
        getattr(axes, f"set_{axis}lim")(*ends)
        plain_ticks(getattr(axes, f"{axis}axis"))


def scale_of(values: Iterable[float]) -> Scale:
    """Return the scale of finite ``values``; without values, 0 to 1.

    If adjacent values are more than four decades apart, only the values on the side of the middle one are in view: a
    loss of 1e9 would flatten all others, and so would a loss of 1e-11 on a logarithmic axis.
    """
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return Scale(0.0, 1.0, log=False)
    middle = ordered[(len(ordered) - 1) // 2]
    for left, right in pairwise(ordered):
        if apart(left, right) and left >= middle:
            ordered = [value for value in ordered if value <= left]
            break
        if apart(left, right) and right <= middle:
            ordered = [value for value in ordered if value >= right]
    return Scale(ordered[0], ordered[-1], log=spans(ordered, DECADES))


def apart(left: float, right: float) -> bool:
    """Whether two values are more than four decades apart; for 0 and negative values, the distance counts instead."""
    return right > SPAN * left if left > 0 else right - left > SPAN * max(1.0, abs(left))


def spans(ordered: list[float], ratio: float) -> bool:
    """Whether the largest value is at least ``ratio`` times the smallest, which is positive."""
    return ordered[0] > 0 and ordered[-1] / ordered[0] >= ratio


def logarithmic(ordered: list[float], asked: bool = False) -> bool:
    """Whether the axis of a swept key is logarithmic: its values span a decade or more, or it was ``asked`` for."""
    return len(ordered) > 1 and ordered[0] > 0 and (asked or spans(ordered, DECADE))


def plain_ticks(axis: Axis) -> None:
    """Write each number of an axis in full, as 0.001 or 1e+09, without a formula, factor or offset.

    A logarithmic axis of few decades has ticks at 1, 2 and 5 of each decade.
    """
    from matplotlib.ticker import Formatter, LogLocator, NullFormatter

    class Plain(Formatter):
        """Uses as few digits as distinguish the numbers of the axis."""

        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}"

        def format_ticks(self, values: list[float]) -> list[str]:
            for digits in range(3, 17):
                texts = [f"{float(value):.{digits}g}" for value in values]
                if len(set(texts)) == len(texts) and all(map(same, texts, values)):
                    break
            return texts

    def same(text: str, value: float) -> bool:
        return math.isclose(float(text), value, rel_tol=1e-9, abs_tol=1e-9 * max(map(abs, axis.get_view_interval())))

    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few_decades(axis) else (1.0,)))
    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(NullFormatter())


def few_decades(axis: Axis) -> bool:
    """Whether the axis covers less than three decades."""
    low, high = axis.get_view_interval()
    return low > 0 and math.log10(high) - math.log10(low) < 3
