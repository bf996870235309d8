"""The live output of a notebook's cell."""

from __future__ import annotations

import re
import sys
import types
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.report import notebook
from d2lrun.report.console import to_function
from d2lrun.report.notebook import CellProgress, Screen, curves


class Shown(Screen):
    """A screen that remembers what it showed."""

    def __init__(self):
        super().__init__()
        self.pages = []

    def show(self, html, text):
        self.pages.append(html)


def record(epoch, **metrics):
    return {"epoch": epoch, "step": 4 * epoch, "seconds": 1.0, "examples_per_second": 8.0, **metrics}


def test_the_bar_the_text_and_the_curves_are_replaced_in_one_output():
    screen = Shown()
    clock = iter(range(100)).__next__
    with CellProgress(to_function(), 2, 4, 8, clock=clock, screen=screen) as progress:
        progress.step(1, 2, lambda: {"loss": 0.7})
        progress.epoch(record(1, train_loss=0.5, test_loss=0.6, test_accuracy=0.8))
        progress.step(2, 3, lambda: {"loss": 0.4})
        progress.epoch(record(2, train_loss=0.3, test_loss=0.5, test_accuracy=0.9))
    values = [re.search(r'value="(\d+)" max="(\d+)"', page).groups() for page in screen.pages]
    assert values == [("2", "8"), ("4", "8"), ("7", "8"), ("8", "8")]
    assert "epoch 2/2" in screen.pages[-1] and "accuracy 0.900" in screen.pages[-1]
    assert screen.pages[-1].count("<svg") == 2 and screen.pages[0].count("<svg") == 0
    panels = re.findall("<svg.*?</svg>", screen.pages[-1])
    words = [re.sub("<.*?>", " ", panel).split() for panel in panels]
    assert words[0] == ["loss", "test", "train", "0.600", "0.300", "epoch", "2"]
    assert words[1] == ["accuracy", "test", "0.900", "0.800", "epoch", "2"]
    colours = [
        set(re.findall('fill="(#[0-9A-F]{6})"', panel)) for panel in re.findall("<svg.*?</svg>", screen.pages[-1])
    ]
    assert len(colours[0]) == 2 and colours[1] < colours[0]  # a split has the same colour in each panel


def test_a_run_that_is_continued_shows_the_epochs_before(monkeypatch):
    screen = Shown()
    with CellProgress(to_function(), 3, 4, 8, clock=iter(range(100)).__next__, screen=screen) as progress:
        progress.past([record(1, train_loss=0.5), record(2, train_loss=0.4)])
        progress.epoch(record(3, train_loss=0.3))
    assert screen.pages[-1].count("<circle") == 3


def test_the_speed_and_the_time_left_are_those_of_the_epoch_at_work():
    screen, now = Shown(), [0.0]
    with CellProgress(to_function(), 2, 4, 8, clock=lambda: now[0], screen=screen) as progress:
        now[0] = 100.0
        progress.epoch(record(1, train_loss=0.5))
        now[0] = 101.0
        progress.step(2, 1, dict)  # two of eight examples, in a second
    assert " 2/s  01:39 left" in screen.pages[-1]


NUMBERS = st.one_of(st.none(), st.floats(-1e6, 1e6))


@given(st.lists(st.fixed_dictionaries({"train_loss": NUMBERS, "val_accuracy": NUMBERS}), max_size=5))
def test_the_curves_are_well_formed_and_inside_their_panel(rows):
    records = [record(n, **row) for n, row in enumerate(rows, 1)]
    for panel in re.findall(r"<svg.*?</svg>", curves(records)):
        drawn = ElementTree.fromstring(panel)
        for circle in drawn.iter("circle"):
            assert 0 <= float(circle.get("cx")) <= notebook.WIDTH and 0 <= float(circle.get("cy")) <= notebook.HEIGHT


@pytest.mark.parametrize(
    ("shell", "expected"), [(None, False), (object(), False), (types.SimpleNamespace(config={"IPKernelApp": 1}), True)]
)
def test_a_notebook_is_a_shell_with_a_kernel(monkeypatch, shell, expected):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert notebook.is_notebook() == expected


def test_a_screen_is_one_output_that_is_updated(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda kinds, raw: shown.append(("update", kinds)))

    def display(kinds, raw, display_id):
        shown.append(("new", kinds))
        return handle

    module = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    screen = Screen()
    said = [f"<{number}>" for number in range(notebook.LINES + 4)]
    for line in said:
        screen.say(line)
    assert [kind for kind, _ in shown] == ["new", *["update"] * (len(said) - 1)]
    html, text = shown[-1][1]["text/html"], shown[-1][1]["text/plain"]
    assert text.splitlines() == said[4:] and html.count("&lt;") == notebook.LINES
