import math

import numpy as np
import pytest
from PIL import Image

from d2lrun.report.points import PRUNED, distinct, numeric, points_of, topic_of, varying
from d2lrun.report.sweep_picture import draw_points, draw_sweep, title

LRS = [0.001, 0.01, 0.1, 1]
SWEEPS = {
    "a number": {"keys": {"optimizer.lr": LRS, "seed": [0, 1]}, "failed": (0, 1, 2)},
    "with a zero": {"keys": {"optimizer.weight_decay": [0, 1e-4, 1e-3]}},
    "words": {"keys": {"model": ["mlp", "汉服", "a-very-long-name-" * 5]}, "failed": (1,)},
    "a number and words": {"keys": {"model": ["mlp", "lenet"], "optimizer.lr": LRS}, "failed": (0,)},
    "two numbers": {
        "keys": {"optimizer.weight_decay": [0, 1e-4], "optimizer.lr": LRS},
        "failed": {0: "failed", 1: "pending"},
    },
    "lists": {"keys": {"model.hidden": [[128], [256, 128]], "model.dropout": [[0.0], [0.5]]}},
    "three": {"keys": {"model": ["mlp", "$x_{1"], "optimizer.lr": LRS, "model.hidden": [[128], [256]]}, "failed": (0,)},
    "five": {"keys": {"a": [1, 2], "b": ["x", "y"], "c": [[1], [2]], "d": [True, False], "e": [None, 1.0]}},
    "one job": {"keys": {"model": ["mlp"]}},
    "one job that failed": {"keys": {"model": ["mlp"]}, "failed": (0,)},
    "all failed": {"keys": {"optimizer.lr": LRS}, "failed": range(4)},
    "all of two failed": {"keys": {"optimizer.lr": LRS, "train.batch_size": [1, 2]}, "failed": range(8)},
    "all of three failed": {"keys": {"a": [1, 2], "b": [1, 2], "c": [1, 2]}, "failed": range(8)},
    "only seeds": {"keys": {"seed": [0, 1, 2]}, "metric": None, "ranked": False, "best": None},
    "folds": {"keys": {"optimizer.lr": LRS}, "kfold": True},
    "many words": {"keys": {"dataset.path": [f"book {k}" for k in range(100)]}},
}


@pytest.fixture(params=SWEEPS)
def sweep(request, make_sweep):
    return make_sweep(**SWEEPS[request.param])


def test_whatever_was_swept_is_drawn(sweep, tmp_path):
    draw_sweep(sweep, tmp_path / "sweep.png")
    with Image.open(tmp_path / "sweep.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape[0] > 300 and pixels.shape[1] > 600
    assert (pixels != 255).any(axis=2).mean() > 0.005


def test_nothing_swept_no_file(make_sweep, tmp_path):
    draw_sweep({**make_sweep({"model": ["mlp"]}), "groups": [], "jobs": []}, tmp_path / "sweep.png")
    assert list(tmp_path.iterdir()) == []


def figure(sweep):
    points = points_of(sweep)
    return draw_points(points, varying(points, sweep["keys"]), topic_of(sweep))


def axes(sweep, number=0):
    return figure(sweep).axes[number]


def texts(panel):
    return [text.get_text() for text in panel.texts]


def labels(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


def test_one_number_is_a_line_for_train_and_val_in_a_panel_a_metric(make_sweep):
    panels = figure(make_sweep({"optimizer.lr": LRS}, lambda each: each["optimizer.lr"])).axes
    assert [panel.get_ylabel() for panel in panels] == ["accuracy", "loss"]
    assert set(labels(panels[1])) == {"train", "val", "best"}
    points = [tuple(line.get_xdata()) for line in panels[0].get_lines() if len(line.get_xdata()) == 4]
    assert tuple(LRS) in points


def test_a_decade_is_a_logarithmic_axis_and_less_is_not(make_sweep):
    assert axes(make_sweep({"optimizer.lr": LRS})).get_xscale() == "log"
    assert axes(make_sweep({"optimizer.lr": [0.05, 0.5]})).get_xscale() == "log"
    assert axes(make_sweep({"optimizer.lr": [0.1, 0.5]})).get_xscale() == "linear"
    assert axes(make_sweep({"optimizer.lr": [0.1, 0.5]}, log=["optimizer.lr"])).get_xscale() == "log"  # as searched
    assert axes(make_sweep({"optimizer.lr": [0, 1e-4, 1e-2]})).get_xscale() == "symlog"


def pruned(make_sweep, **changes):
    """A search whose last trial was pruned at a value above the best."""
    sweep = make_sweep({"optimizer.lr": LRS}, failed={3: "pruned"}, engine="optuna", **changes)
    sweep["jobs"][3]["metrics"] = {"val_accuracy": 0.99, "train_accuracy": 0.98}
    return sweep


def test_a_pruned_trial_is_hollow_at_its_own_value_and_explained(make_sweep):
    panel = axes(pruned(make_sweep))
    (hollow,) = [line for line in panel.get_lines() if line.get_fillstyle() == "none" and len(line.get_xdata())]
    assert (list(hollow.get_xdata()), list(hollow.get_ydata())) == ([1], [0.99])
    assert PRUNED in labels(panel)


def test_no_line_joins_what_a_search_drew(make_sweep):
    joined = {line.get_linestyle() for line in axes(pruned(make_sweep)).get_lines()}
    assert joined <= {"None", ""}
    assert "-" in {line.get_linestyle() for line in axes(make_sweep({"optimizer.lr": LRS})).get_lines()}


def test_error_bars_are_the_spread_over_seeds(make_sweep):
    sweep = make_sweep({"optimizer.lr": LRS, "seed": [0, 1]})
    (bars, *_) = axes(sweep).containers[-1].lines[2]
    low, high = bars.get_segments()[0][:, 1]
    metric = sweep["groups"][0]["metrics"]["val_accuracy"]
    assert (low, high) == pytest.approx((metric["mean"] - metric["std"], metric["mean"] + metric["std"]))


def crosses(panel):
    """Of each cross its value on the x-axis, and its height in the panel: 0 is the bottom, 1 the top."""
    lines = [line for line in panel.get_lines() if line.get_marker() == "x"]
    shown = [panel.transAxes.inverted().transform(line.get_transform().transform(line.get_xydata())) for line in lines]
    values = [value for line in lines for value in line.get_xdata()]
    return list(zip(values, [height for part in shown for _, height in part.tolist()], strict=True))


@pytest.mark.parametrize("failed, marked", [((0, 1), [0.001]), ((2,), [0.01]), ((1, 7), [0.001, 1]), ((), [])])
def test_a_failure_is_a_cross_at_the_worst_edge_above_its_value(make_sweep, failed, marked):
    accuracy, loss = figure(make_sweep({"optimizer.lr": LRS, "seed": [0, 1]}, failed=failed)).axes[:2]
    assert crosses(accuracy) == [(value, pytest.approx(0.035)) for value in marked]
    assert crosses(loss) == [(value, pytest.approx(0.965)) for value in marked]


def test_a_job_that_nearly_diverged_does_not_flatten_the_rest(make_sweep):
    sweep = make_sweep(
        {"optimizer.lr": [1, 2, 3]},
        lambda each: -1e9 if each["optimizer.lr"] == 3 else 0.5,
        metric="val_loss",
        direction="min",
    )
    panel = axes(sweep)
    assert panel.get_ylim()[1] < 2
    assert "1e+09" in texts(panel)


def test_words_are_rows_of_dots(make_sweep):
    panel = axes(make_sweep({"model": ["mlp", "lenet", "nin"]}, failed=(2,)))
    assert [label.get_text() for label in panel.get_yticklabels()] == ["mlp", "lenet", "nin"]
    (crossed,) = [text for text in panel.texts if text.get_text() == "✗ failed or diverged"]
    assert crossed.get_position()[1] == 2  # the row of nin


def test_of_many_words_the_best_are_shown_and_said(make_sweep):
    panel = axes(make_sweep(**SWEEPS["many words"]))
    assert len(panel.get_yticks()) == 40
    assert "the best 40 of 100" in panel.get_ylabel()


def test_a_grid_of_two_keys_is_a_heat_map_with_the_spread_in_each_cell(make_sweep):
    panel = axes(make_sweep({"model": ["mlp", "lenet"], "optimizer.lr": LRS, "seed": [0, 1]}))
    assert {panel.get_xlabel(), panel.get_ylabel()} == {"model", "optimizer.lr"}
    assert len(panel.texts) == 8 and all("\n± " in text for text in texts(panel))


def test_a_number_and_a_few_words_of_a_search_are_a_line_a_word(make_sweep):
    sweep = make_sweep({"model": ["mlp", "lenet", "nin"], "optimizer.lr": [k / 7 for k in range(1, 12)]})
    sweep["groups"] = [group for place, group in enumerate(sweep["groups"]) if place in (0, 1, 13, 14, 15)]
    panel = axes(sweep)
    assert panel.get_xlabel() == "optimizer.lr"
    named = {"model=mlp, val", "model=mlp, train", "model=lenet, val", "model=lenet, train"}
    assert set(labels(panel)) == named | {"best"}


def test_two_numbers_are_cells_with_their_numbers_sorted(make_sweep):
    sweep = make_sweep(
        {"optimizer.weight_decay": [0.1, 0], "optimizer.lr": [2, 1, 3]},
        lambda each: each["optimizer.lr"] / 10,
        failed=(5,),
    )
    panel = axes(sweep)
    assert [label.get_text() for label in panel.get_xticklabels()] == ["1", "2", "3"]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["0", "0.1"]
    cells = {(text.get_position()): text.get_text() for text in panel.texts}
    assert cells[2, 0] == "✗"
    assert cells[2, 1].endswith("★")
    assert cells[0, 0].startswith("0.") and len(cells) == 6


def test_a_pair_that_was_not_swept_is_said_to_be_so(make_sweep):
    sweep = make_sweep({"a": [1, 2], "b": [1, 2, 3]})
    sweep["groups"].pop()
    assert "not run" in texts(axes(sweep))


def test_two_numbers_of_a_search_are_dots(make_sweep):
    sweep = make_sweep({"optimizer.lr": [k / 100 for k in range(1, 21)]}, failed=(4,))
    for place, group in enumerate(sweep["groups"]):
        group["values"]["b"] = place**2 + 0.5
    sweep["keys"].append("b")
    panel = axes(sweep)
    assert len(panel.collections[0].get_offsets()) == 19
    assert labels(panel) == ["failed or diverged", "best"]
    (cross,) = [line for line in panel.get_lines() if line.get_marker() == "x"]
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([0.05], [16.5])


def test_beyond_two_keys_the_best_line_is_named_and_a_failure_crossed(make_sweep):
    panel = axes(make_sweep({"a": [1, 2], "b": ["x", "y"], "c": [1, 2]}, failed=(1,)))
    assert labels(panel)[0].startswith("best: 0.")
    ((place, height),) = crosses(panel)
    assert place == 3 and height < 0.1  # on the axis of the metric, below its least value
    assert {"a", "b", "c", "val accuracy", "x", "y"} <= set(texts(panel))


def test_a_seed_is_a_name_and_no_number(make_sweep):
    points = points_of(make_sweep({"seed": [0, 1, 2]}))
    assert len(points) == 3 and not numeric(points, "seed")


def test_values_that_are_numbers_are_sorted_and_others_keep_their_order(make_sweep):
    points = points_of(make_sweep({"a": [3, 1, 2], "b": ["z", "a"]}))
    assert distinct(points, "a") == [1, 2, 3] and distinct(points, "b") == ["z", "a"]


def test_the_test_set_is_drawn_where_it_was_watched(make_sweep):
    sweep = make_sweep({"optimizer.lr": LRS}, metric=None, ranked=False, best=None)
    for group in sweep["groups"]:
        group["metrics"] = {name.replace("val_", "test_"): value for name, value in group["metrics"].items()}
    assert "test" in labels(axes(sweep)) and topic_of(sweep).main == "test_accuracy"


def test_the_title_counts_seeds_and_failures(make_sweep):
    sweep = make_sweep({"optimizer.lr": LRS, "seed": [0, 1, 2]}, failed=(0,))
    assert (
        title(sweep, points_of(sweep), topic_of(sweep)) == "lr: val accuracy, mean ± std of 3; 1 of 12 jobs failed (✗)"
    )


def test_matplotlib_keeps_its_own_state(make_sweep, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    draw_sweep(make_sweep({"optimizer.lr": LRS}), tmp_path / "sweep.png")
    assert dict(matplotlib.rcParams) == before


def test_a_metric_that_is_nan_is_drawn_as_a_failure_would_be(make_sweep):
    sweep = make_sweep({"optimizer.lr": LRS})
    sweep["groups"][0]["metrics"] = {"val_accuracy": {"mean": math.nan, "std": None, "n": 1}}
    assert points_of(sweep)[0].metrics == {}
    figure(sweep)
