import math
import re
from io import StringIO
from itertools import pairwise

import pytest
from rich.console import Console

from d2lrun.report.progress import Progress, epoch_line

RECORD = {
    "epoch": 3,
    "step": 705,
    "seconds": 0.3,
    "lr": 0.1,
    "train_loss": 0.523,
    "train_accuracy": 0.823,
    "test_loss": 0.547,
    "test_accuracy": 0.809,
    "examples_per_second": 212345.0,
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def progress(terminal=True, width=100, clock=None, epochs=10, start_step=0):
    console = Console(file=StringIO(), width=width, force_terminal=terminal)
    return Progress(console, epochs, 100, 60_000, start_step, clock=clock or Clock())


def metrics():
    return {"loss": 0.5, "accuracy": 0.8}


def text(bar, epoch, step):
    """The bar as one sees it, without its colours."""
    console = Console(file=StringIO(), width=bar.console.width)
    console.print(bar.bar(epoch, step, metrics()))
    return console.file.getvalue()


def test_the_line_of_an_epoch():
    assert epoch_line(RECORD, 10) == (
        "epoch  3/10  train loss 0.523 accuracy 0.823  test loss 0.547 accuracy 0.809    212,345 examples/s    0.3 s"
    )


@pytest.mark.parametrize("width", [40, 50, 60, 80, 100, 120])
@pytest.mark.parametrize("epochs", [1, 10, 500])
@pytest.mark.parametrize("extra", [{}, {"val_loss": 0.6, "val_accuracy": math.nan}])
def test_the_line_fits_the_width_and_keeps_the_test_accuracy(width, epochs, extra):
    line = epoch_line({**RECORD, **extra}, epochs, width)
    assert len(line) <= width
    assert re.search(r"test .*acc(uracy)? 0\.809", line)


OF_TEXT = {
    **{"epoch": 50, "train_loss": 1.811, "train_perplexity": 6.117, "val_loss": 2.047, "val_perplexity": 7.745},
    **{"tokens_per_second": 144_321.0, "seconds": 0.1, "grad_norm": 0.5, "clipped": 0.25},
}


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (200, "train loss 1.811 perplexity 6.117  val loss 2.047 perplexity 7.745    144,321 tokens/s    0.1 s"),
        (100, "train loss 1.811 ppl 6.117  val loss 2.047 ppl 7.745    144,321 tokens/s    0.1 s"),
        (80, "train loss 1.811 ppl 6.117  val loss 2.047 ppl 7.745    0.1 s"),
        (40, "loss 1.811  val ppl 7.745"),
    ],
)
def test_the_line_of_a_text_is_as_short_as_the_terminal_wants_it(width, line):
    assert epoch_line(OF_TEXT, 500, width) == f"epoch  50/500  {line}"


def test_lines_of_one_run_are_aligned():
    others = {"epoch": 10, "train_loss": math.nan, "examples_per_second": 999.0, "seconds": 12.34}
    assert len(epoch_line(RECORD, 10)) == len(epoch_line({**RECORD, **others}, 10))


def test_a_pipe_gets_one_plain_line_per_epoch_and_reads_nothing():
    bar = progress(terminal=False, width=40)
    with bar:
        for epoch in (1, 2, 3):
            for step in range(1, 101):
                bar.step(epoch, step, lambda: pytest.fail("read on a pipe"))
            bar.epoch({**RECORD, "epoch": epoch})
    lines = bar.console.file.getvalue().splitlines()
    assert lines == [epoch_line({**RECORD, "epoch": epoch}, 10) for epoch in (1, 2, 3)]


def test_metrics_are_read_at_most_eight_times_a_second():
    clock, reads = Clock(), []
    with progress(clock=clock) as bar:
        for step in range(1, 2001):
            clock.now += 0.001
            bar.step(1, step, lambda: reads.append(clock.now) or metrics())
    assert 14 <= len(reads) <= 17  # in two seconds
    assert min(later - earlier for earlier, later in pairwise(reads)) >= 0.125


def test_a_slow_read_does_not_make_the_next_one_due():
    clock, reads = Clock(), []

    def read():
        reads.append(clock.now)
        clock.now += 1.0  # the device was far behind
        return metrics()

    with progress(clock=clock) as bar:
        for step in range(1, 101):
            clock.now += 0.001
            bar.step(1, step, read)
    assert len(reads) == 1


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 140])
def test_the_bar_is_one_line_of_any_width(width):
    clock = Clock()
    bar = progress(width=width, clock=clock)
    clock.now = 0.2
    line = text(bar, 3, 50)
    assert line.count("\n") == 1
    assert len(line.rstrip("\n")) <= width
    assert "epoch  3/10" in line and "━" in line


def test_the_bar_drops_time_left_then_speed_then_accuracy():
    clock = Clock()
    wanted = ["loss", "accuracy", "/s", "left"]
    seen = []
    for width in range(100, 30, -1):
        bar = progress(width=width, clock=clock)
        clock.now += 0.2
        seen.append([word for word in wanted if word in text(bar, 3, 50)])
    assert all(shown == wanted[: len(shown)] for shown in seen)
    assert seen == sorted(seen, key=len, reverse=True)
    assert seen[100 - 80] == wanted


def test_speed_counts_the_examples_since_the_run_was_resumed():
    clock = Clock()
    bar = progress(clock=clock, start_step=40)
    clock.now = 2.0
    assert " 18,000 examples/s" in text(bar, 2, 100)  # 60 of 100 batches of 60,000 examples, in 2 s


def test_time_left_goes_by_steps_until_an_epoch_is_known():
    bar = progress()
    assert bar.left(epoch=1, step=50, elapsed=5.0) == pytest.approx(0.1 * (50 + 9 * 100))


def test_time_left_foresees_evaluation_once_an_epoch_is_known():
    clock = Clock()
    bar = progress(clock=clock)
    clock.now = 20.0  # 10 s of training, 10 s of evaluation
    bar.epoch({**RECORD, "epoch": 1})
    assert bar.left(epoch=2, step=50, elapsed=5.0) == pytest.approx(15 + 8 * 20)


def test_a_resumed_part_of_an_epoch_is_not_taken_for_a_whole_one():
    clock = Clock()
    bar = progress(clock=clock, start_step=90)
    clock.now = 1.0
    assert bar.left(epoch=2, step=90, elapsed=1.0) > 0  # resumed before the evaluation: no step was taken yet
    bar.epoch({**RECORD, "epoch": 2})
    assert bar.left(epoch=3, step=50, elapsed=5.0) == pytest.approx(0.1 * (50 + 7 * 100))


def test_a_terminal_shows_the_bar_and_keeps_the_lines():
    with progress() as bar:
        bar.step(1, 1, metrics)
        bar.say("saved to [/red]")
        bar.epoch({**RECORD, "epoch": 1})
    shown = bar.console.file.getvalue()
    assert "loss 0.500" in shown and "saved to [/red]\n" in shown and "\x1b[?25h" in shown  # the cursor is back
    assert shown.count("train loss 0.523") == 1


def test_no_color_leaves_no_colour(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=StringIO(), width=100, force_terminal=True)
    with Progress(console, 10, 100, 60_000) as bar:
        bar.step(1, 50, metrics)
    assert not re.search(r"\x1b\[[\d;]*3\dm|\x1b\[9\dm|38;", console.file.getvalue())


def test_a_dumb_terminal_gets_lines_only(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=StringIO(), force_terminal=True)
    with Progress(console, 10, 100, 60_000) as bar:
        bar.step(1, 50, lambda: pytest.fail("read on a dumb terminal"))
        bar.epoch(RECORD)
    assert console.file.getvalue() == epoch_line(RECORD, 10, console.width) + "\n"
