from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from d2lrun.report.figure import new_figure
from d2lrun.tasks.language_model.zipf import STYLES, draw_panel, draw_zipf

FREQUENCIES = {
    "unigrams": [2261 // rank for rank in range(1, 2000)],
    "bigrams": [309, 169, 130, *[1] * 5000],
    "trigrams": [59, 30, 24],
}


def panel(frequencies=FREQUENCIES):
    axes = new_figure(900, 650).subplots()
    draw_panel(axes, frequencies)
    return axes


def colours(path):
    with Image.open(path) as image:
        assert image.size == (900, 650)
        pixels = np.asarray(image.convert("RGB"))
    return [(pixels == list(bytes.fromhex(style["color"][1:]))).all(axis=2).sum() for style in STYLES]


def test_three_curves_are_drawn(tmp_path):
    draw_zipf(tmp_path / "zipf.png", FREQUENCIES, "a $ti_{tle")
    assert min(colours(tmp_path / "zipf.png")) > 100


def test_a_point_is_a_rank_and_its_frequency():
    for line, counts in zip(panel().get_lines(), FREQUENCIES.values(), strict=True):
        assert list(line.get_xdata()) == list(range(1, len(counts) + 1))
        assert list(line.get_ydata()) == counts


def test_both_axes_are_logarithmic_with_plain_numbers():
    axes = panel()
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    for axis in (axes.xaxis, axes.yaxis):
        labels = [label.get_text() for label in axis.get_ticklabels()]
        assert {"1", "10", "100", "1,000"} <= set(labels)
        assert not any(label.get_text() for label in axis.get_minorticklabels())


def test_the_legend_says_how_many_types():
    labels = [text.get_text() for text in panel().get_legend().get_texts()]
    assert labels == ["unigrams: 1,999 types", "bigrams: 5,003 types", "trigrams: 3 types"]


def test_curves_differ_without_colour():
    assert len({line.get_linestyle() for line in panel().get_lines()}) == 3


def test_all_points_are_in_view():
    axes = panel()
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < 1 and right > 5003 and bottom < 1 and top > 2261


def test_a_curve_of_one_point_is_marked():
    lines = panel({"unigrams": [2, 1], "bigrams": [1, 1], "trigrams": [1]}).get_lines()
    assert [line.get_marker() for line in lines] == ["", "", "."]


@pytest.mark.parametrize("shortest", [[], [1]])
def test_a_text_may_be_too_short_for_a_curve(tmp_path, shortest):
    draw_zipf(tmp_path / "zipf.png", {"unigrams": [2, 1], "bigrams": [1, 1], "trigrams": shortest}, "短")
    first, second, third = colours(tmp_path / "zipf.png")
    assert min(first, second) > 0
    assert (third > 0) == bool(shortest)


def test_without_words_there_is_no_file(tmp_path):
    draw_zipf(tmp_path / "zipf.png", {"unigrams": [], "bigrams": [], "trigrams": []}, "")
    assert list(tmp_path.iterdir()) == []
