import pytest
from PIL import Image

from d2lrun.report.figure import new_figure
from d2lrun.report.scale import scale_of
from d2lrun.report.search_picture import best_so_far, draw_history, draw_importance, draw_trials

VALUES = [0.5, None, 0.7, 0.6, 0.9, 0.8]
STATUSES = ["finished", "failed", "finished", "finished", "pruned", "finished"]
TRIALS = [
    {"number": number, "value": value, "status": status}
    for number, (value, status) in enumerate(zip(VALUES, STATUSES, strict=True))
]


def test_the_best_so_far_only_gets_better_and_pruned_trials_do_not_count():
    assert best_so_far(TRIALS, "max") == [(0, 0.5), (2, 0.7), (5, 0.8)]
    assert best_so_far(TRIALS, "min") == [(0, 0.5)]


def test_each_kind_of_trial_is_counted():
    axes = new_figure(300, 300).subplots()
    draw_trials(axes, TRIALS, scale_of([0.5, 0.9]), bottom=True)
    assert axes.get_legend_handles_labels()[1] == [
        "finished (4)",
        "pruned (1): value when stopped",
        "failed (1)",
    ]


def test_a_value_far_above_the_axis_is_said():
    axes = new_figure(300, 300).subplots()
    draw_trials(
        axes, [*TRIALS, {"number": 6, "value": 1e9, "status": "finished"}], scale_of([0.5, 0.9, 1e9]), bottom=False
    )
    assert [text.get_text() for text in axes.texts] == ["1e+09"]


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:1], TRIALS[1:2], [{**TRIALS[1], "status": "running"}]])
def test_a_history_of_any_length_is_drawn(tmp_path, trials):
    draw_history(trials, tmp_path / "history.png", "val_accuracy")
    with Image.open(tmp_path / "history.png") as image:
        assert image.size == (1000, 640)


def test_without_trials_or_shares_no_file(tmp_path):
    draw_history([], tmp_path / "history.png", "val_loss")
    draw_importance({}, tmp_path / "importance.png", "val_loss")
    assert list(tmp_path.iterdir()) == []


def test_importance_has_a_bar_a_key(tmp_path):
    draw_importance({"optimizer.lr": 0.9, "模型": 0.1, "x" * 100: 0.0}, tmp_path / "importance.png", "val_loss")
    with Image.open(tmp_path / "importance.png") as image:
        assert image.size == (900, 355)
