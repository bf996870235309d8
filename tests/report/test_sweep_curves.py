"""A sweep of few runs shows their curves, each with its name; a larger one does not."""

from __future__ import annotations

import pytest

from d2lrun.report import sweep_curves
from d2lrun.report.sweep_curves import draw_few

RECORDS = [{"epoch": k, "train_accuracy": 0.1 * k, "val_accuracy": 0.09 * k} for k in (1, 2, 3)]


@pytest.fixture
def figures(monkeypatch):
    found = []
    monkeypatch.setattr(sweep_curves, "save", lambda figure, path: found.append(figure))
    return found


def test_a_panel_a_run_with_train_and_val_and_one_axis_for_all(make_sweep, figures, tmp_path):
    draw_few(make_sweep({"model": ["mlp", "lenet", "汉服"]}), [RECORDS] * 3, tmp_path / "a.png")
    panels = figures[0].axes
    titles = [panel.get_title(loc="left").removeprefix("★ ") for panel in panels]
    assert titles == ["model=mlp", "model=lenet", "model=汉服"]
    assert {len(panel.get_lines()) for panel in panels} == {2} and len({panel.get_ylim() for panel in panels}) == 1


@pytest.mark.parametrize("count, epochs", [(1, 3), (10, 3), (3, 1), (3, 0)])
def test_without_few_curves_there_is_no_file_and_an_old_one_goes(make_sweep, figures, tmp_path, count, epochs):
    (tmp_path / "a.png").touch()
    sweep = make_sweep({"model": [f"m{place}" for place in range(count)]})
    draw_few(sweep, [RECORDS[:epochs]] * count, tmp_path / "a.png")
    assert figures == [] and not (tmp_path / "a.png").exists()


def test_the_grid_lies_under_the_curves(make_sweep, figures, tmp_path):
    draw_few(make_sweep({"model": ["mlp", "lenet"]}), [RECORDS] * 2, tmp_path / "a.png")
    for panel in figures[0].axes:
        assert panel.get_axisbelow() is True
        assert all(line.get_visible() for line in panel.get_ygridlines())
