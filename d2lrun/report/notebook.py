"""The progress and the curves of a run in a notebook: one output, updated in place. IPython shows it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import Any

from d2lrun.config.metrics import RANKING, SPLITS
from d2lrun.report.curves import FEW, STYLES
from d2lrun.report.progress import Progress, epoch_line
from d2lrun.report.text import measured

WIDTH, HEIGHT = 400, 160  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 56, 392, 34, 132  # of the curves in it
LINES = 40  # most lines of text: those of a sweep of 20 runs, and its table
REDRAW = 0.5  # seconds between two updates
END = 'text-anchor="end"'


class Screen:
    """An output of a cell that is replaced."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.lines: list[str] = []

    def show(self, html: str, text: str) -> None:
        """Show the HTML in the place of what the screen showed; ``text`` is for programs that show no HTML."""
        from IPython.display import display

        shown = {"text/html": html, "text/plain": text}
        if self.handle is None:
            self.handle = display(shown, raw=True, display_id=True)
        else:
            self.handle.update(shown, raw=True)

    def say(self, line: str) -> None:
        """Show a line below the last ones."""
        self.lines = [*self.lines, line][-LINES:]
        text = "\n".join(self.lines)
        self.show(preformatted(text), text)


class CellProgress(Progress):
    """The progress of a run on a screen: a bar, the last epoch, and a curve for each metric so far."""

    def __init__(self, *arguments: Any, screen: Screen, **options: Any):
        super().__init__(*arguments, **{**options, "lines": 0})
        self.screen, self.records = screen, []  # type: ignore[var-annotated]

    def __enter__(self) -> CellProgress:
        self.began = self.due = self.clock()
        return self

    def past(self, records: list[dict[str, Any]]) -> None:
        """Begin the curves with the epochs before the start, of a run that is continued."""
        self.records = list(records)

    def step(self, epoch: int, step: int, read: Any) -> None:
        """Update the bar if it is due."""
        if self.clock() >= self.due:
            self.redraw((epoch - 1) * self.steps + step, "  ".join(self.parts(epoch, step, read(), "/s")))

    def epoch(self, record: dict[str, Any]) -> None:
        """Add an epoch to the curves."""
        super().epoch(record)
        self.records.append(record)
        self.redraw(record["epoch"] * self.steps, self.label + epoch_line(record, self.epochs))

    def redraw(self, done: int, text: str) -> None:
        """Show the bar after ``done`` steps, the text, and the curves."""
        bar = f'<progress value="{done}" max="{self.epochs * self.steps}" style="width: 100%"></progress>'
        self.screen.show(f"{bar}{preformatted(text)}{curves(self.records)}", text)
        self.due = self.clock() + REDRAW


def preformatted(text: str) -> str:
    """Return the text as HTML with letters of equal width, which the styles of some notebooks change."""
    return f'<pre style="font: 12px monospace; white-space: pre; overflow-x: auto">{escape(text)}</pre>'


def curves(records: Sequence[dict[str, Any]]) -> str:
    """Return a panel for the loss and one for the ranking metric, with a line for each split, as SVG."""
    names = {key.partition("_")[2] for record in records for key in record if key.partition("_")[0] in SPLITS}
    shown = ["loss", *[name for name in RANKING if name in names and name != "loss"][:1]]
    return "".join(panel(records, name) for name in shown if name in names)


def panel(records: Sequence[dict[str, Any]], name: str) -> str:
    """Return the curves of a metric over the epochs as SVG; a split has the same colour in each panel."""
    lines = {split: points(records, f"{split}_{name}") for split in SPLITS}
    values = [y for line in lines.values() for _, y in line] or [0.0]
    low, high = min(values), max(values)
    first, last = records[0]["epoch"], max(records[-1]["epoch"], records[0]["epoch"] + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (x - first) / (last - first) * (RIGHT - LEFT)
        return round(across, 1), round(TOP + (high - y) / ((high - low) or 1) * (BOTTOM - TOP), 1)

    drawn = [f'<path d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}" fill="none" stroke="#ccc"/>']
    drawn += [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(name.replace("_", " "))}</text>']
    for number, (split, line) in enumerate((split, line) for split, line in reversed(lines.items()) if line):
        places, colour = [place(*point) for point in line], STYLES[split]["color"]
        corners = " ".join(f"{x},{y}" for x, y in places)
        drawn.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn += [f'<circle cx="{x}" cy="{y}" r="2" fill="{colour}"/>' for x, y in places if len(records) <= FEW]
        drawn.append(f'<text x="{RIGHT - 40 * number}" y="20" fill="{colour}" {END}>{split}</text>')
    for value, y in ((high, TOP), (low, BOTTOM)):
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 4}" {END}>{measured(value)}</text>')
    drawn.append(f'<text x="{RIGHT}" y="{HEIGHT - 8}" {END}>epoch {records[-1]["epoch"]}</text>')
    style = "font: 12px system-ui, sans-serif; background: white; vertical-align: top"
    return f'<svg width="{WIDTH}" height="{HEIGHT}" style="{style}">{"".join(drawn)}</svg>'


def points(records: Sequence[dict[str, Any]], key: str) -> list[tuple[float, float]]:
    """Return (epoch, value) of each epoch that has the metric."""
    return [(record["epoch"], record[key]) for record in records if record.get(key) is not None]


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows HTML."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return "IPKernelApp" in getattr(shell, "config", {})
