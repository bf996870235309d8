"""No label, title or legend of any picture covers another one, whatever was swept."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from d2lrun.report import curves, figure, folds, overlay, search_picture, sweep_picture
from d2lrun.report.labels import middle, uncommon
from d2lrun.report.layout import LINES

WORDS = ["mlp", "汉服", "a-very-long-name-" * 4, "$x_{1", "outputs/runs/2026 (第一次)/红楼梦.txt", "dataset.path", "-"]
NUMBERS = [0, 1e-9, 1e-4, 1.1e-4, 0.05, 0.1, 0.5, 1.0, 3, 12, 255, 256, 257, 4096, 1e6, 1.5e9, -7, -1e-3, 0.123456789]
LONG = "a.key.that.is.much.longer.than.any.axis.has.room"
KEYS = ["model", "optimizer.lr", "dataset.path", "validation.stratify", LONG]
STATES = ["failed", "pruned", "pending"]
some_words = st.lists(st.sampled_from(WORDS) | st.integers(0, 99).map("run-{}".format), min_size=1, max_size=40)
some_numbers = st.lists(st.sampled_from(NUMBERS) | st.floats(-1e4, 1e9, allow_nan=False), min_size=1, max_size=12)
values = some_numbers | some_words
PHASES = (Phase.explicit, Phase.generate)  # a picture takes half a second: no shrinking
quickly = settings(max_examples=5, deadline=None, phases=PHASES, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def drawn():
    """``drawn(function, *arguments)``: the figure that the function saves, laid out."""
    found = []

    def catch(made, path):
        with figure.measuring():
            figure.settle(made)
        found.append(made)

    with pytest.MonkeyPatch.context() as patch:
        for module in (curves, folds, overlay, search_picture, sweep_picture):
            patch.setattr(module, "save", catch)
        yield lambda function, *arguments: (function(*arguments), found.pop())[1]


def boxes(made):
    """[(what it is, its box in pixels)] of all that must not overlap: labels of axes, titles, legends, texts inside."""
    with figure.measuring():
        made.draw_without_rendering()
        shown = [made._suptitle, *made.legends]
        for axes in made.axes:
            shown += [axes.get_legend(), axes.title, *axes.texts]
            for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
                low, high = sorted(axis.get_view_interval())
                across = axis.axis_name == "x"
                ticks = [each for each in axis.get_majorticklabels() if low <= each.get_position()[not across] <= high]
                shown += [axis.label, axis.offsetText, *ticks]
        shown = [each for each in shown if each is not None and each.get_visible()]
        shown = [each for each in shown if not isinstance(each, Text) or each.get_text().strip()]
        return [(str(each), each.get_window_extent().padded(-0.5)) for each in shown]


def assert_apart(made):
    found = boxes(made)
    page = made.bbox.padded(1)
    outside = [name for name, box in found if not (page.contains(*box.min) and page.contains(*box.max))]
    assert outside == []
    assert [(a, b) for (a, one), (b, two) in itertools.combinations(found, 2) if one.overlaps(two)] == []


def swept(make_sweep, axes, failed=(), engine="grid", spread=1.0):
    """A sweep over {key: values}; of a search, one trial for each row of values."""
    axes = {key: list(dict.fromkeys(found)) for key, found in axes.items()}
    if engine == "grid":
        axes = {key: found[: 40 if len(axes) == 1 else 12 if len(axes) == 2 else 4] for key, found in axes.items()}
        combined = axes
    else:
        combined = {"trial": list(range(max(map(len, axes.values()))))}
    sweep = make_sweep(combined, lambda each: spread * (0.5 + 0.1 * (hash(str(each)) % 4)), failed=dict(failed))
    if engine != "grid":
        for group in [*sweep["groups"], *sweep["jobs"]]:
            row = group["values"]["trial"]
            group["values"] = {key: found[row % len(found)] for key, found in axes.items()}
    return sweep | {"keys": list(axes), "engine": engine, "name": "-".join(axes) * 2}


@quickly
@given(data=st.data())
def test_texts_of_a_sweep_do_not_overlap(make_sweep, drawn, data):
    keys = data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
    axes = {key: data.draw(values) for key in keys}
    failed = data.draw(st.dictionaries(st.integers(0, 20), st.sampled_from(STATES), max_size=6))
    engine = data.draw(st.sampled_from(["grid", "optuna"]))
    spread = data.draw(st.sampled_from([1.0, 1e-8, -1e9, 1e9]))
    assert_apart(drawn(sweep_picture.draw_sweep, swept(make_sweep, axes, failed, engine, spread), "sweep.png"))


@quickly
@given(labels=st.lists(st.sampled_from(WORDS), min_size=1, max_size=45), size=st.sampled_from([1e-9, 1.0, 1e9, -3e5]))
def test_texts_of_compared_runs_do_not_overlap(drawn, labels, size):
    runs = [
        (label, [{"epoch": k, "train_loss": size / k, "val_loss": size / k + place} for k in (1, 2, 3)], place == 1)
        for place, label in enumerate(labels)
    ]
    made = drawn(overlay.draw_overlay, runs, "compare.png")
    assert_apart(made)


@quickly
@given(values=st.lists(st.none() | st.sampled_from(NUMBERS), min_size=1, max_size=40), title=st.sampled_from(WORDS))
def test_texts_of_a_history_do_not_overlap(drawn, values, title):
    kinds = itertools.cycle(["finished", "pruned", "failed", "finished"])
    trials = [
        {"number": place, "value": value, "status": kind} for place, (value, kind) in enumerate(zip(values, kinds))
    ]
    assert_apart(drawn(search_picture.draw_history, trials, "a.png", "val_loss", "min", title * 3))


@quickly
@given(names=st.lists(st.sampled_from(WORDS) | st.text("汉W.", min_size=1), min_size=1, max_size=40, unique=True))
def test_texts_of_importance_do_not_overlap(drawn, names):
    shares = dict.fromkeys(names, 1 / len(names))
    assert_apart(drawn(search_picture.draw_importance, shares, "a.png", "val_loss", "importance"))


@quickly
@given(title=st.sampled_from(WORDS), losses=st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=9))
def test_texts_of_a_runs_curves_do_not_overlap(drawn, title, losses):
    records = [{"epoch": k, "train_loss": loss, "val_loss": 2 * loss} for k, loss in enumerate(losses, 1)]
    assert_apart(drawn(curves.draw_curves, records, "a.png", title * 4))
    assert_apart(drawn(folds.draw_folds, "a.png", {"fold-0": records, "fold-1": records}, title * 4))


@given(st.text("ab 汉…", max_size=40), st.integers(3, 30))
def test_a_cut_text_keeps_both_ends_and_its_length(text, length):
    from rich.cells import cell_len

    short = middle(text, length)
    assert cell_len(short) <= length
    ends = [(short[:place], short[place + 1 :]) for place, letter in enumerate(short) if letter == "…"]
    assert short == text or any(text.startswith(head) and text.endswith(tail) for head, tail in ends)


def test_words_that_all_share_are_dropped_but_never_all():
    assert uncommon(["a=1 b=2", "a=1 b=3"]) == ["b=2", "b=3"]
    assert uncommon(["a=1", "a=1"]) == ["a=1", "a=1"] and uncommon(["a=1"]) == ["a=1"]


def test_a_long_title_has_no_more_than_its_lines(drawn):
    made = drawn(curves.draw_curves, [{"epoch": 1, "train_loss": 1.0}], "a.png", "many words " * 60)
    assert made._suptitle.get_text().count("\n") == LINES
    assert_apart(made)
