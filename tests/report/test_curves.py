import math

import numpy as np
import pytest
from PIL import Image

from d2lrun.report.curves import STYLES, draw_curves, draw_panel, final, metric_names, steep
from d2lrun.report.figure import new_figure, save

BAND = {"train_loss": [0.377, 0.386], "test_accuracy": [0.769, 0.856]}


def records(epochs, splits=("train", "val", "test")):
    return [
        {
            "epoch": epoch,
            "seconds": 1.0,
            **{f"{split}_loss": 0.4 + 0.5 / epoch for split in splits},
            **{f"{split}_accuracy": 0.8 - 0.5 / epoch for split in splits},
        }
        for epoch in range(1, epochs + 1)
    ]


def read(path):
    """A picture's pixels uint8 [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def panel(name, lines, band=None):
    axes = new_figure(750, 600).subplots()
    draw_panel(axes, name, lines, band or {})
    return axes


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.mark.parametrize("epochs", [1, 2, 10, 500])
def test_draws_any_number_of_epochs(tmp_path, epochs):
    draw_curves(records(epochs), tmp_path / "curves.png", "a $ti_{tle", BAND)
    assert read(tmp_path / "curves.png").shape == (600, 1500, 3)


def test_one_epoch_is_a_visible_point_in_each_colour(tmp_path):
    lines = [{"epoch": 1, "train_loss": 0.3, "val_loss": 0.4, "test_loss": 0.5}]
    draw_curves(lines, tmp_path / "curves.png", "")
    pixels = read(tmp_path / "curves.png")
    for style in STYLES.values():
        color = np.frombuffer(bytes.fromhex(style["color"][1:]), np.uint8)
        assert (pixels[:, :300] == color).all(axis=2).sum() == 0  # nothing left of the middle …
        assert (pixels[:, 300:450] == color).all(axis=2).sum() > 20  # … where epoch 1 is


def test_no_record_no_file(tmp_path):
    draw_curves([], tmp_path / "curves.png", "")
    assert list(tmp_path.iterdir()) == []


def test_one_panel_per_metric():
    assert metric_names(records(2)) == ["loss", "accuracy"]
    assert metric_names([{"epoch": 1, "train_perplexity": 9.0, "tokens_per_second": 1.0}]) == ["perplexity"]


def test_splits_that_were_not_measured_are_not_in_the_legend():
    assert labels(panel("loss", records(2, ("train", "test")))) == ["train 0.650", "test 0.650"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 500])
def test_ticks_are_whole_epochs(epochs):
    ticks = panel("loss", records(epochs)).get_xticks()
    assert len(ticks) and all(tick == int(tick) for tick in ticks)


def test_lines_differ_without_colour():
    lines = panel("loss", records(10)).get_lines()
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 3


def test_the_band_stands_at_the_last_epoch():
    axes = panel("loss", records(10), BAND)
    (box,) = [band.get_paths()[0].get_extents() for band in axes.collections]
    assert (box.y0, box.y1) == pytest.approx((0.377, 0.386))
    assert (box.x0 + box.x1) / 2 == pytest.approx(10)
    assert "book, train [0.377, 0.386]" in labels(axes)


def test_the_band_is_in_view_when_the_run_is_far_from_it():
    low, high = panel("accuracy", [{"epoch": 1, "test_accuracy": 0.1}], BAND).get_ylim()
    assert low < 0.1 and high > 0.856


@pytest.mark.parametrize("lost", [math.nan, math.inf, None])
def test_what_is_no_number_leaves_a_gap_and_is_named(tmp_path, lost):
    lines = records(5)
    lines[3]["train_loss"] = lines[4]["train_loss"] = lost
    assert "train nan from epoch 4" in labels(panel("loss", lines))
    draw_curves(lines, tmp_path / "curves.png", "", BAND)
    assert read(tmp_path / "curves.png").shape == (600, 1500, 3)


def test_final_value_of_a_run_that_never_had_one():
    assert final([3, 4], [math.nan, math.nan]) == "nan from epoch 3"


def test_letters_that_no_font_has_are_no_warning(tmp_path):
    figure = new_figure(100, 100)
    figure.text(0, 0, "汉服 \U0001f9ff")
    save(figure, tmp_path / "letters.png")
    assert read(tmp_path / "letters.png").shape == (100, 100, 3)


def test_matplotlib_keeps_its_own_state(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_curves(records(2), tmp_path / "curves.png", "")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "values, logarithmic",
    [
        ([60.0, 0.01], True),
        ([60.0, math.nan, 0.01], True),
        ([0.5, 0.01], False),
        ([60.0, 0.0], False),
        ([-60.0, 0.01], False),
        ([], False),
    ],
)
def test_what_falls_far_is_drawn_by_its_logarithm(values, logarithmic):
    assert steep(values) == logarithmic
    lines = [{"epoch": epoch, "train_loss": value} for epoch, value in enumerate(values, start=1)]
    if lines:
        assert panel("loss", lines).get_yscale() == ("log" if logarithmic else "linear")
