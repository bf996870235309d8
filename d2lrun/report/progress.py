"""The progress of a run: one live bar on a terminal, and one line per epoch.

The training loop calls ``step`` after every batch, up to thousands of times per second. A call only reads the clock
until a redraw is due; then it reads the metrics, which waits for the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import RANKING, SHORT, SPLITS, speeds
from d2lrun.report.text import measured, say

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

REDRAW = 1 / 8  # seconds between two redraws
LINES = 50  # approximate number of printed epochs: metrics.jsonl has all of them
NARROWEST = 6  # least columns of the bar itself


class Progress:
    """A context manager around the training loop.

    An epoch has ``steps`` batches with ``examples`` examples; a run that is resumed inside an epoch begins after
    batch ``start_step``. ``clock`` returns seconds. About ``lines`` epochs are printed, none if 0, each with ``label``
    at the beginning.
    """

    def __init__(
        self,
        console: Console,
        epochs: int,
        steps: int,
        examples: int,
        start_step: int = 0,
        clock: Callable[[], float] = time.perf_counter,
        lines: int = LINES,
        label: str = "",
    ):
        self.console, self.clock = console, clock
        self.epochs, self.steps, self.examples = epochs, steps, examples
        self.lines, self.label = lines, f"{label} " if label else ""
        self.first = start_step  # steps of this epoch before its clock started
        self.began = clock()
        self.whole: float | None = None  # seconds of the last whole epoch, including evaluation
        self.live: Any = None
        self.due = math.inf  # never, without a terminal

    def __enter__(self) -> Progress:
        self.began = self.clock()
        if self.console.is_interactive:
            from rich.live import Live

            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
            self.due = self.began
        return self

    def __exit__(self, *exception: object) -> None:
        if self.live is not None:
            self.live.stop()

    def past(self, records: list[dict[str, Any]]) -> None:
        """Take the epochs before the start, of a run that is continued; they were shown then."""

    def step(self, epoch: int, step: int, read: Callable[[], dict[str, float]]) -> None:
        """Update: ``step`` batches of ``epoch`` (from 1) are done; ``read`` returns the epoch's running metrics."""
        if self.clock() < self.due:
            return
        self.live.update(self.bar(epoch, step, read()), refresh=True)
        self.due = self.clock() + REDRAW

    def epoch(self, record: dict[str, Any]) -> None:
        """Print the line of an epoch after its evaluation."""
        now = self.clock()
        self.whole = now - self.began if self.first == 0 else None
        self.began, self.first = now, 0
        if not self.lines:
            return
        if record["epoch"] % max(1, self.epochs // self.lines) == 0 or record["epoch"] in (1, self.epochs):
            width = self.console.width if self.console.is_terminal else math.inf
            self.say(epoch_line(record, self.epochs, width))

    def say(self, message: str) -> None:
        """Print a line above the bar."""
        say(self.console, message)

    def bar(self, epoch: int, step: int, metrics: dict[str, float]) -> RenderableType:
        """Return the bar with the parts that fit the width; the last parts are dropped first."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        parts = self.parts(epoch, step, metrics, " examples/s")
        if columns(parts) > self.console.width - NARROWEST - 2:
            parts = self.parts(epoch, step, metrics, "/s")
        while len(parts) > 1 and columns(parts) > self.console.width - NARROWEST - 2:
            parts.pop()
        width = max(1, min(40, self.console.width - columns(parts) - 2))
        done = ProgressBar(self.epochs * self.steps, (epoch - 1) * self.steps + step, width=width)
        grid = Table.grid(padding=(0, 2, 0, 0))
        for _ in (*parts, done):
            grid.add_column(no_wrap=True)
        grid.add_row(*parts[:2], done, *parts[2:])
        return grid

    def parts(self, epoch: int, step: int, metrics: dict[str, float], unit: str) -> list[str]:
        """Return the texts of the bar, the most important first."""
        elapsed = max(self.clock() - self.began, 1e-9)
        speed = (step - self.first) / elapsed * self.examples / self.steps
        left = timedelta(seconds=round(self.left(epoch, step, elapsed)))
        return [
            self.label + epoch_of(epoch, self.epochs),
            f"{step:>{len(str(self.steps))}}/{self.steps}",
            *(f"{name} {measured(value):>5}" for name, value in metrics.items()),
            f"{speed:>7,.0f}{unit}",
            f"{str(left).removeprefix('0:')} left",
        ]

    def left(self, epoch: int, step: int, elapsed: float) -> float:
        """Return the seconds to the end of the run; in the first epoch, without the time of evaluation."""
        if self.whole is not None:
            return max(self.whole - elapsed, 0) + self.whole * (self.epochs - epoch)
        ahead = (self.epochs - epoch) * self.steps + self.steps - step
        return elapsed / max(step - self.first, 1) * ahead


def epoch_line(record: dict[str, Any], epochs: int, width: float = math.inf) -> str:
    """Return the line of an epoch, in the longest form that fits ``width`` columns."""
    splits = [(split, metrics) for split in SPLITS if (metrics := metrics_of(record, split))]
    long = [f"{split} {metrics}" for split, metrics in splits]
    short = [abbreviated(words) for words in long]
    speed = [f"{value:>9,.0f} {unit}/s" for unit, value in speeds(record)]
    seconds = [f"{record['seconds']:>5.1f} s"] if "seconds" in record else []
    head = epoch_of(record["epoch"], epochs)
    wordings = [
        [*long, *speed, *seconds],
        [*short, *speed, *seconds],
        [*short, *seconds],
        short,
        gist(record),
    ]
    lines = ["  ".join([head, *words]) for words in wordings]
    return next((line for line in lines if len(line) <= width), lines[-1].removeprefix("epoch "))


def gist(record: dict[str, Any]) -> list[str]:
    """Return the training loss and the last ranking metric, which fit 40 columns."""
    keys = [key for split in SPLITS for name in RANKING if (key := f"{split}_{name}") in record]
    rated = [abbreviated(f"{key.replace('_', ' ')} {measured(record[key])}") for key in keys]
    return [f"loss {measured(record['train_loss'])}", *rated[-1:]]


def abbreviated(words: str) -> str:
    """Return the text with short names of metrics."""
    for name, short in SHORT.items():
        words = words.replace(name, short)
    return words


def metrics_of(record: dict[str, Any], split: str) -> str:
    """Return 'loss 0.523 accuracy 0.823' for train, val or test; an empty text if nothing was measured."""
    prefix = f"{split}_"
    names = {key: key.removeprefix(prefix).replace("_", " ") for key in record if key.startswith(prefix)}
    return " ".join(f"{name} {measured(record[key]):>5}" for key, name in names.items())


def epoch_of(epoch: int, epochs: int) -> str:
    """Return 'epoch  3/10'."""
    return f"epoch {epoch:>{len(str(epochs))}}/{epochs}"


def columns(parts: list[str]) -> int:
    """Return the width of the parts with two spaces between them."""
    return sum(map(len, parts)) + 2 * (len(parts) - 1)
