import numpy as np
import pytest
from PIL import Image

from d2lrun.report.figure import GREY, new_figure
from d2lrun.report.overlay import MOST, draw_overlay, draw_panel, legend_lines


def records(loss, epochs=3, watched="val"):
    return [
        {"epoch": k, "seconds": 1.0, "train_loss": loss / k, f"{watched}_loss": loss / k + 0.1}
        for k in range(1, epochs + 1)
    ]


def panel(runs, name="loss"):
    axes = new_figure(750, 600).subplots()
    draw_panel(axes, name, runs)
    return axes


def styles(axes):
    return [(line.get_linestyle(), line.get_color()) for line in axes.get_lines()]


def test_a_colour_a_run_train_dashed_and_watched_solid():
    (a, b), (c, d) = [
        styles(panel([("a", records(1), False), ("b", records(2, watched="test"), False)]))[k : k + 2] for k in (0, 2)
    ]
    assert (a[0], b[0], c[0], d[0]) == ("--", "-", "--", "-")
    assert a[1] == b[1] != c[1] == d[1]


def test_what_was_not_watched_is_a_solid_train_line():
    lines = styles(panel([("a", [{"epoch": 1, "train_loss": 1.0}], False)]))
    assert [style for style, _ in lines] == ["-"]


def test_of_many_runs_the_best_stands_out():
    runs = [(f"run {k}", records(1 + k), k == 7) for k in range(MOST + 2)]
    assert sum(line.get_color() == GREY for line in panel(runs).get_lines()) == 2 * (MOST + 1)
    assert [line.get_label() for line in legend_lines(runs)] == ["★ run 7", f"{MOST + 1} others"]


@pytest.mark.parametrize("count", [1, 2, 11, 30, MOST])
def test_every_run_has_a_line_of_its_own_in_the_legend(count):
    runs = [("the same label", records(1 + k), False) for k in range(count)]
    lines = legend_lines(runs)
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(lines) == count


def test_a_run_that_nearly_diverged_is_cut_and_that_is_said():
    axes = panel([("a", records(1), False), ("b", records(1e9), False)])
    assert axes.get_ylim()[1] < 3
    assert "cut above" in axes.get_ylabel()


def test_null_is_a_gap_and_no_cut():
    axes = panel([("a", [*records(1), {"epoch": 4, "train_loss": None, "val_loss": None}], False)])
    assert axes.get_ylabel() == "loss"


@pytest.mark.parametrize("count", [1, 3, 10, 40])
def test_any_number_of_runs_is_drawn(tmp_path, count):
    runs = [(f"汉服 ${k}_{{" * 9, records(1 + k), k == 0) for k in range(count)]
    draw_overlay(runs, tmp_path / "compare.png")
    with Image.open(tmp_path / "compare.png") as image:
        assert (np.asarray(image.convert("RGB")) != 255).any(axis=2).mean() > 0.01


def test_without_an_epoch_no_file(tmp_path):
    draw_overlay([("a", [], False)], tmp_path / "compare.png")
    assert list(tmp_path.iterdir()) == []
