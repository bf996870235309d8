"""Pictures of pairs: how long the sentences are (book 9.5), and the attention of translated sentences (10.4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.report.figure import PALETTE, new_figure, save
from d2lrun.report.layout import head
from d2lrun.tasks.translation.attended import Attended
from d2lrun.tasks.translation.pairs import PairDataset

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL = 62  # pixels of a cell, if there are few tokens
SIDE = 760  # most pixels of a panel
WIDTHS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # tokens of a bar of the histogram
BARS = 30  # most bars


def draw_attention(path: Path, panels: Sequence[Attended]) -> None:
    """Write a PNG with a heat map [T, S] for each sentence: its target tokens by its source tokens; none for none."""
    if not panels:
        return
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    width = max(min(SIDE, CELL * len(panel.source)) for panel in panels) + 260
    height = max(min(SIDE, CELL * len(panel.target)) for panel in panels) + 200
    figure = new_figure(columns * width, rows * height + 60)
    head(figure, "attention of each target token (row) to the source tokens")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, each in enumerate(axes):
        if place < len(panels):
            draw_panel(each, panels[place])
        else:
            each.axis("off")
    figure.set_layout_engine("tight")
    save(figure, path)


def draw_panel(axes: Axes, panel: Attended) -> None:
    """Draw the heat map of one sentence: white 0, dark 1."""
    size = max(4.0, min(9.0, 200 / max(len(panel.source), len(panel.target))))
    axes.imshow(panel.weights.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(panel.source)), panel.source, rotation=90, fontsize=size)
    axes.set_yticks(range(len(panel.target)), panel.target, fontsize=size)
    axes.tick_params(length=0)


def draw_lengths(path: Path, data: PairDataset) -> None:
    """Write a PNG with a histogram of the tokens of a sentence, without <eos>, of sources and targets that train."""
    sides = {"source": data.sources, "target": data.targets}
    lengths = {name: side.whole["train"].lengths.tolist() for name, side in sides.items()}
    longest = max(map(max, lengths.values()))
    width = next((width for width in WIDTHS if longest < width * BARS), WIDTHS[-1])
    edges = [width * place for place in range(longest // width + 2)]
    figure = new_figure(900, 600)
    head(figure, f"{data.name}: tokens of a sentence")
    axes = figure.subplots()
    axes.hist([*lengths.values()], bins=edges, color=PALETTE[: len(lengths)], label=[*lengths])
    axes.set(xlabel="tokens of a sentence", ylabel="sentences")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.set_layout_engine("tight")
    save(figure, path)
