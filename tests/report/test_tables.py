import re
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from d2lrun.report.classes import mistake, show_classes, show_predictions
from d2lrun.report.tables import chance_words, grid, show, show_result, verdict
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.classification.tables import show_counts
from d2lrun.tasks.tabular.encoding import Field
from d2lrun.tasks.tabular.table import TableDataset
from d2lrun.tasks.tabular.tables import show_predicted, show_table

RESULT = {
    "status": "finished",
    "model": "mlp",
    "dataset": "fashion-mnist",
    "seed": 0,
    "parameters": 203_530,
    "epochs": 10,
    "seconds": 200.0,
    "metrics": {
        "train_loss": 0.383,
        "train_accuracy": 0.865,
        "test_loss": 0.42,
        "test_accuracy": 0.841,
        "examples_per_second": 212_345.0,
    },
    "book": {
        "section": "4.3",
        "band": {"train_loss": [0.377, 0.386], "test_accuracy": [0.769, 0.856]},
        "inside": True,
        "changed": [],
    },
}
CLASSES = ("T-shirt/top", "[/red]", "汉服")
DATASET = ImageDataset(
    name="three",
    classes=CLASSES,
    train_images=torch.zeros(7, 1, 28, 28, dtype=torch.uint8),
    train_labels=torch.tensor([0, 0, 0, 0, 1, 1, 1]),
    test_images=torch.zeros(3, 1, 28, 28, dtype=torch.uint8),
    test_labels=torch.tensor([2, 1, 2]),
    source="/a/place/" + "deep/" * 20,
)
ROWS = [
    ("a[/red].png", "inverted", [("Shirt", 0.75), ("汉服", 0.25)]),
    (Path("b.jpg"), "", [("Bag", 1.0), ("Coat", float("nan"))]),
]
HOUSES = TableDataset(
    name="houses",
    train_features=torch.zeros(4, 5),
    train_targets=torch.tensor([[34_900.0], [163_000.0], [200_000.0], [755_000.0]]),
    test_features=torch.zeros(2, 5),
    test_targets=None,
    source="/a/place/" + "deep/" * 20,
    fields=(Field("area", missing=1), Field("[/red]", width=4, missing=5, kind="category")),
    target="price",
    test_ids=("7", "8"),
)
CONFUSION = torch.tensor([[8, 1, 1], [0, 5, 5], [0, 0, 0]])
HINT = "this recipe fails in some runs: try model.final_relu=false, or another seed"
DEAD = {**RESULT, "dead": {"epoch": 10, "hint": HINT}}
TABLE = {"title": "rmse by [/red]", "heads": ["steps", "[/red] model"], "rows": [[1, 0.25], [64, None], ["all", 1e5]]}
FLOOR = {"metric": "val_loss", "value": 1.3, "constant": "always the mean of the training targets", "at_chance": True}
SHOW = {
    "dead": lambda console: show_result(console, DEAD, Path("run")),
    "result": lambda console: show_result(console, RESULT, Path("runs") / ("long" * 30)),
    "more": lambda console: show_result(console, {**RESULT, "table": TABLE}, Path("run")),
    "counts": lambda console: show_counts(console, DATASET),
    "predictions": lambda console: show_predictions(console, ROWS),
    "table": lambda console: show_table(console, HOUSES),
    "numbers": lambda console: show_predicted(console, ("Id", "[/red]"), ("7", "[/red]"), ("150000.00", "2.5")),
    "classes": lambda console: show_classes(console, CLASSES, CONFUSION),
}


def shown(show, width=80):
    console = Console(file=StringIO(), width=width)
    show(console)
    return console.file.getvalue()


def result(**changes):
    return shown(lambda console: show_result(console, {**RESULT, **changes}, Path("run")))


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("name", SHOW)
def test_only_paths_are_wider_than_the_console(name, width):
    lines = shown(SHOW[name], width).splitlines()
    assert all(len(line) <= width for line in lines if "longlong" not in line and "deep/deep" not in line)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk"])
@pytest.mark.parametrize("name", SHOW)
def test_a_terminal_without_utf8_gets_its_own_characters(name, encoding):
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    SHOW[name](Console(file=stream, width=80))
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("name", SHOW)
def test_a_pipe_gets_no_control_codes(name):
    assert "\x1b" not in shown(SHOW[name])


def test_result_has_every_number_and_what_the_speed_means():
    text = words(result())
    assert "mlp on fashion-mnist, seed 0: finished" in text
    assert "train 0.383 0.865 test 0.420 0.841" in text
    assert "212,345 examples/s (whole epochs: training + evaluation)" in text
    assert "parameters 203,530" in text and "time 10 epochs in 3 min 20 s" in text


def test_a_task_may_have_a_table_of_its_own():
    text = words(shown(SHOW["more"]))
    assert "rmse by [/red] steps [/red] model" in text
    assert "1 0.250 64 nan all 100,000" in text
    assert "rmse by" not in words(result())


def test_baselines_are_named_with_their_metric():
    given = {"uniform": 28.0, "unigram": 17.206}
    text = words(result(baselines=given, floor=FLOOR | {"at_chance": False}))
    assert "baselines val loss: uniform 28.000, unigram 17.206" in text
    assert "baselines uniform 28.000, unigram 17.206" in words(result(baselines=given))  # of an earlier version
    assert "baselines" not in words(result())


def test_a_table_that_is_too_wide_is_ruled_to_its_end():
    """Its columns are narrower than their heads."""
    table = grid("steps", *(f"a rather long head number {number}" for number in range(5)))
    table.add_row(*"123456")
    *_, rule, row = shown(lambda console: show(console, table)).splitlines()
    assert rule.startswith("──") and len(rule) == len(row)


def test_result_has_the_path_in_one_piece():
    assert "runs/" + "long" * 30 in shown(SHOW["result"], 40).replace("\\", "/")


def test_result_names_the_files_that_are_there(tmp_path):
    for name in ("metrics.jsonl", "curves.png"):
        (tmp_path / name).touch()
    assert "curves.png, metrics.jsonl" in shown(lambda console: show_result(console, RESULT, tmp_path))


def test_result_beside_the_book():
    text = words(result())
    assert "book §4.3 train loss 0.383 in [0.377, 0.386] ✓ test accuracy 0.841 in [0.769, 0.856] ✓" in text


def test_result_outside_the_book_says_so():
    metrics = {**RESULT["metrics"], "test_accuracy": 0.9}
    assert "test accuracy 0.900 outside [0.769, 0.856] ✗" in result(metrics=metrics)


def test_a_changed_recipe_is_not_compared():
    text = result(book={**RESULT["book"], "inside": None, "changed": ["train.epochs", "optimizer.lr"]})
    assert "not comparable: changed train.epochs, optimizer.lr" in text
    assert "[0.377" not in text


def test_another_option_of_a_group_is_named_without_its_keys():
    changed = ["optimizer.lr", "dataset.name", "optimizer.name", "dataset.path", "train.epochs"]
    text = result(book={**RESULT["book"], "inside": None, "changed": changed})
    assert "not comparable: changed dataset, optimizer, train.epochs\n" in text


def test_without_a_band_the_book_is_not_named():
    assert "book" not in result(book=None)


def test_a_run_without_an_epoch_has_a_result_too():
    text = result(status="diverged", metrics={}, epochs=0)
    assert "diverged" in text and "0 epochs" in text and "was not measured" in text


def test_a_run_at_chance_is_called_so_with_its_hint():
    assert f" at chance no better than guessing after epoch 10; {HINT} directory" in words(shown(SHOW["dead"]))


@pytest.mark.parametrize("changes", [{}, {"dead": None}, {"floor": FLOOR | {"at_chance": False}}])
def test_a_run_better_than_chance_is_not_called_at_chance(changes):
    assert "chance" not in result(**changes)


def test_a_run_worse_than_a_constant_is_shown_beside_it():
    text = words(result(metrics={**RESULT["metrics"], "val_loss": 2e10}, floor=FLOOR))
    assert "at chance val loss 2e+10 is no better than always the mean of the training targets (1.300)" in text


def test_folds_at_chance_are_counted():
    told = {**RESULT, "floor": FLOOR, "folds": [{"floor": FLOOR | {"at_chance": each}} for each in (True, False, True)]}
    assert chance_words(told).startswith("2 of 3 folds: val loss no better than always the mean")


def test_validation_has_its_own_row():
    text = words(result(metrics={**RESULT["metrics"], "val_loss": 0.5, "val_accuracy": None}))
    assert "val 0.500 nan test" in text


@pytest.mark.parametrize(
    "value, text",
    [
        (0.386, "0.386 in"),
        (0.3864, "0.3864 outside"),  # 0.386 would look inside
        (0.3768, "0.3768 outside"),
        (0.3771, "0.377 in"),
        (float("nan"), "nan outside"),
    ],
)
def test_a_verdict_agrees_with_the_digits_it_shows(value, text):
    assert f" {text} [0.377, 0.386]" in verdict("train_loss", value, 0.377, 0.386)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
@example(0.02895, 0.0295, 0.0335)
@example(0.0295, 0.02950001, 0.0335)
def test_the_numbers_of_a_verdict_compare_as_it_says(value, low, high):
    low, high = sorted((low, high))
    text = verdict("train_loss", value, low, high)
    given, left, right = map(float, re.findall(r"\d+\.\d{3,}", text))
    assert (left <= given <= right) == (low <= value <= high) == ("outside" not in text) == text.endswith("✓")


def test_counts_have_every_class_and_the_totals():
    text = words(shown(SHOW["counts"]))
    assert "T-shirt/top 4 0 [/red] 3 1 汉服 0 2 all 7 3" in text
    assert "28×28, 1 channel of 8 bits" in text
    assert "7.8 kB (7,840 bytes)" in text
    assert DATASET.source in text


def test_predictions_have_file_class_and_probability():
    text = words(shown(SHOW["predictions"]))
    assert "a[/red].png (inverted) Shirt 75.0% █████████ 汉服 25.0% ███ b.jpg Bag 100.0% ████████████ Coat nan%" in text


def test_recall_precision_and_mistake():
    text = words(shown(SHOW["classes"]))
    assert "T-shirt/top 0.800 1.000 [/red] (1)" in text
    assert "[/red] 0.500 0.833 汉服 (5)" in text
    assert "汉服 – 0.000 –" in text  # no example
    assert "accuracy 0.650: 13 of 20" in text


def test_a_class_without_a_mistake():
    assert mistake([0, 4, 0], 1, ["a", "b", "c"]) == "–"


def coloured(show):
    """The pieces of a text that have a colour, each with the colour's code."""
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    show(console)
    return set(re.findall(r"\x1b\[(?:\d+;)*([349]\d)m([^\x1b]*)", console.file.getvalue()))


@pytest.mark.parametrize("name", SHOW)
def test_colour_is_never_alone(name):
    """Only the signs ✓ and ✗ have a colour, which differ without it."""
    assert coloured(SHOW[name]) <= {("32", "✓"), ("31", "✗")}


def test_what_is_outside_the_book_is_red_and_crossed():
    outside = {**RESULT, "metrics": {**RESULT["metrics"], "test_accuracy": 0.9}}
    assert coloured(lambda console: show_result(console, outside, Path("run"))) == {("32", "✓"), ("31", "✗")}


def test_a_table_is_counted_in_rows_fields_features_and_gaps():
    text = shown(SHOW["table"])
    for words in (
        "4 to train, 2 to test (without price)",
        "1 number, 1 with categories",
        "6 of 12 values: [/red] 5, area",
    ):
        assert words in text
    assert "34,900 to 755,000, median 163,000" in text


def test_predicted_numbers_stand_beside_their_rows():
    text = shown(SHOW["numbers"])
    assert re.search(r"7 +150000\.00", text) and re.search(r"\[/red\] +2\.5", text) and "2 rows in all" in text


def test_the_norm_of_the_weights_is_told_where_there_is_one():
    with_it = {**RESULT, "metrics": {**RESULT["metrics"], "weight_norm": 13.3649}}
    assert "‖w‖ 13.365" in shown(lambda console: show_result(console, with_it, Path("run")))
    assert "‖w‖" not in shown(SHOW["result"])


WORDS = st.lists(st.text("abc中", min_size=1, max_size=9), max_size=4).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4), st.integers(32, 80))
def test_no_word_of_a_table_is_split(rows, width):
    console = Console(file=StringIO(), width=width)
    table = grid("", "one head", "other")
    for row in rows:
        table.add_row(*row)
    show(console, table)
    text = console.file.getvalue()
    assert {word for row in rows for cell in row for word in cell.split()} <= set(text.split())
    assert all(cell_len(line) <= width for line in text.splitlines())
