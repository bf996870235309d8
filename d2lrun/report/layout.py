"""Arrange the texts of a picture so that they do not overlap: wrap titles; turn, drop, shrink or cut labels."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.cells import cell_len

from d2lrun.report.fonts import families
from d2lrun.report.labels import middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

ROUNDS = 4  # of measuring and changing, since each change moves other texts
LINES = 3  # most lines of a title
SMALLEST = 6.0  # points of a label that is too long for its axis
AIR = 6.0  # least pixels between two labels of an axis
CELL, HANDLE = 9, 60  # pixels of a character and of the line beside it in a legend


@contextlib.contextmanager
def measuring() -> Iterator[None]:
    """Hide matplotlib's warnings about missing glyphs; ``fonts.notices`` reports them once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        warnings.filterwarnings("ignore", "Tight layout not applied")
        yield


def settle(figure: Figure) -> None:
    """Change overlapping texts, repeatedly, since the change of a label may move another."""
    for _ in range(ROUNDS):
        dress(figure)
        figure.draw_without_rendering()
        changed = [turn_or_thin(axis) | fit_label(axis) for axis in axes_of(figure)]
        if not any(changed):
            break
    else:
        dress(figure)
        figure.draw_without_rendering()
    for axes in figure.axes:
        hide_covered(axes)


def dress(figure: Figure) -> None:
    """Set the fonts of every text by the glyphs that it needs. No text is parsed as a formula."""
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    chosen = families("".join(text.get_text() for text in texts))
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(chosen)


def axes_of(figure: Figure) -> Iterator[XAxis | YAxis]:
    """Yield the x and y axis of all axes in the figure."""
    for axes in figure.axes:
        if axes.axison:
            yield from (axes.xaxis, axes.yaxis)


def turn_or_thin(axis: XAxis | YAxis) -> bool:
    """Turn overlapping names of an x axis; keep only every second, third, … other label; return whether it changed."""
    from matplotlib.ticker import FixedLocator

    low, high = sorted(axis.get_view_interval())
    room = 1e-9 * (high - low)
    across = axis.axis_name == "x"
    labels = [label for label in axis.get_majorticklabels() if label.get_visible() and label.get_text()]
    places = [label.get_position()[0 if across else 1] for label in labels]
    ticks = [(place, label) for place, label in zip(places, labels, strict=True) if low - room <= place <= high + room]
    boxes = [label.get_window_extent() for _, label in ticks]
    if not crowded(boxes):
        return False
    named = isinstance(axis.get_major_locator(), FixedLocator)
    if across and named and ticks[0][1].get_rotation() == 0:
        axis.set_tick_params(rotation=90)
        return True
    step = next(step for step in range(2, len(boxes) + 1) if not crowded(boxes[::step]))
    shown = [(place, label.get_text()) for place, label in ticks[::step]]
    axis.set_ticks(*zip(*shown, strict=True))
    axis.set_ticks([], minor=True)
    return True


def crowded(boxes: list[Bbox]) -> bool:
    """Whether adjacent labels of an axis overlap."""
    return any(left.padded(AIR / 2).overlaps(right.padded(AIR / 2)) for left, right in pairwise(boxes))


def fit_label(axis: XAxis | YAxis) -> bool:
    """Shorten the name of an axis to the length of the axis; return whether it was longer."""
    box = axis.axes.get_window_extent()
    return fit(axis.label, box.width if axis.axis_name == "x" else box.height)


def fit(text: Text, room: float) -> bool:
    """Shorten a text to ``room`` pixels: first with a smaller font, then by its middle; return whether it was cut."""
    words = text.get_text()
    if not words or length_of(text) <= room:
        return False
    text.set_fontsize(max(SMALLEST, float(text.get_fontsize()) * room / length_of(text)))
    cells = cell_len(words)
    while cells > 3 and length_of(text) > room:
        cells = min(cells - 1, int(cells * room / length_of(text)))
        text.set_text(middle(words, max(3, cells)))
    return text.get_text() != words


def length_of(text: Text) -> float:
    """Return the length in pixels of a vertical or horizontal text."""
    box = text.get_window_extent()
    return max(box.width, box.height)


def hide_covered(axes: Axes) -> None:
    """Hide each text inside the axes that overlaps an earlier text; the table has its number."""
    shown: list[Bbox] = []
    for text in axes.texts:
        box = text.get_window_extent()
        free = not any(box.overlaps(other) for other in shown)
        text.set_visible(free)
        shown += [box] if free else []


def head(figure: Figure, title: str, size: float = 10, color: str = "#222222") -> None:
    """Draw the title at the top, in as many lines as it needs; a word that is too long loses its middle."""
    text = figure.suptitle("", x=0.01, ha="left", color=color, fontsize=size, fontweight="bold")
    text.set(parse_math=False, fontfamily=families(title))
    with measuring():
        lines = wrapped(text, title.split(), 0.97 * figure.bbox.width)
    text.set_text("\n".join([*lines[:LINES], *(["…"] if len(lines) > LINES else [])]))


def wrapped(text: Text, words: list[str], room: float) -> list[str]:
    """Return the words in lines of at most ``room`` pixels in the font of ``text``."""
    lines: list[str] = []
    for word in words:
        text.set_text(word)
        fit_word(text, word, room)
        word = text.get_text()
        text.set_text(f"{lines[-1]} {word}" if lines else word)
        if lines and text.get_window_extent().width <= room:
            lines[-1] = text.get_text()
        else:
            lines.append(word)
    return lines


def fit_word(text: Text, word: str, room: float) -> None:
    """Shorten a word of a title in its middle until it fits a line."""
    cells = cell_len(word)
    while cells > 3 and text.get_window_extent().width > room:
        cells = min(cells - 1, int(cells * room / text.get_window_extent().width))
        text.set_text(middle(word, cells))


def legend_above(axes: Axes, width: float) -> None:
    """Put the legend of axes of ``width`` pixels above them, so it covers neither data nor labels."""
    names = axes.get_legend_handles_labels()[1]
    if not names:
        return
    columns = columns_of(names, width)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, fontsize=8, frameon=False, columnspacing=1.2)


def columns_of(names: list[str], width: float) -> int:
    """Return how many columns of a legend with these names fit in ``width`` pixels."""
    widest = HANDLE + CELL * max(map(cell_len, names))
    return max(1, min(len(names), int(width / widest)))
