import csv
import json
import math
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.console import Console

from d2lrun.report.sweep import counts, group_status, main_metrics, ranking, show_sweep, write_csv

MODELS = {"model": ["mlp", "lenet"], "optimizer.lr": [0.1, 0.5], "seed": [0, 1]}
NOTE = "not ranked: with validation=none the test set is watched, and it must not choose"
NEXT = "d2lrun compare outputs/sweeps/lr"
SWEEPS = {
    "seeds": {"keys": MODELS},
    "failures": {"keys": MODELS, "failed": (3, 4, 5)},
    "folds": {"keys": MODELS, "kfold": True},
    "five keys": {
        "keys": {
            "model.hidden": [[128], [256, 128]],
            "optimizer.lr": [0.001, 0.1],
            "train.batch_size": [64, 256],
            "model.dropout": [[0.0], [0.5]],
            "model.activation": ["relu", "a-long-activation"],
        }
    },
    "many": {"keys": {"optimizer.lr": [k / 1000 for k in range(1, 1001)]}, "failed": range(0, 1000, 20)},
    "one that failed": {"keys": {"model": ["[red]mlp"]}, "failed": (0,)},
    "only seeds": {"keys": {"seed": [0, 1]}, "ranked": False, "metric": None, "best": None, "note": NOTE},
    "chinese": {"keys": {"dataset.path": [["红楼梦.txt"], ["西游记.txt"]]}},
}


@pytest.fixture(params=SWEEPS)
def sweep(request, make_sweep):
    return make_sweep(**SWEEPS[request.param])


def shown(sweep, width=80, directory=Path("outputs/sweeps/lr")):
    console = Console(file=StringIO(), width=width)
    show_sweep(console, sweep, directory, NEXT)
    return console.file.getvalue()


def rows(text):
    """The table's lines as words."""
    return [line.split() for line in text.partition("──\n")[2].partition("\n\n")[0].splitlines()]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_only_what_is_copied_is_wider_than_the_console(sweep, width):
    whole = (" ✗", "   outputs", " directory", " next")
    lines = [line for line in shown(sweep, width).splitlines()[1:] if not line.startswith(whole)]
    assert all(len(line) <= width for line in lines)
    assert len(lines) < 160


@pytest.mark.parametrize("encoding", ["ascii", "gbk"])
def test_a_terminal_without_utf8_gets_its_own_characters(sweep, encoding):
    stream = TextIOWrapper(BytesIO(), encoding=encoding)
    show_sweep(Console(file=stream, width=80), sweep, Path("x"), NEXT)
    stream.flush()


def test_the_best_comes_first_with_a_star(make_sweep):
    values = {"mlp": 0.8, "lenet": 0.9, "nin": 0.7}
    text = shown(make_sweep({"model": list(values)}, lambda each: values[each["model"]]))
    assert [row[:2] for row in rows(text)[:1]] == [["★", "lenet"]]
    assert [row[0] for row in rows(text)[1:]] == ["mlp", "nin"]
    assert "ranked      by val accuracy, the highest first" in text
    assert "best        model=lenet (val accuracy 0.9" in text


def test_a_loss_is_ranked_from_below(make_sweep):
    values = {"mlp": 0.8, "lenet": 0.9}
    sweep = make_sweep({"model": list(values)}, lambda each: values[each["model"]], metric="val_loss", direction="min")
    assert [sweep["groups"][place]["values"]["model"] for place in ranking(sweep)] == ["lenet", "mlp"]


def test_those_without_the_metric_come_last_in_the_order_of_the_grid(make_sweep):
    sweep = make_sweep({"optimizer.lr": [1, 2, 3, 4]}, lambda each: each["optimizer.lr"] / 10, failed=(0, 2))
    assert ranking(sweep) == [3, 1, 0, 2]
    sweep["groups"][3]["metrics"]["val_accuracy"]["mean"] = None  # nan in the file
    assert ranking(sweep) == [1, 0, 2, 3]


def test_what_is_not_ranked_keeps_its_order_and_says_why(make_sweep):
    sweep = make_sweep(
        {"optimizer.lr": [1, 2]}, lambda each: each["optimizer.lr"] / 10, ranked=False, note=NOTE, best=None
    )
    assert ranking(sweep) == [0, 1]
    text = " ".join(shown(sweep).split())
    assert NOTE in text and "★" not in text and "ranked by" not in text


def test_seeds_are_one_row_with_mean_and_spread(make_sweep):
    sweep = make_sweep({"optimizer.lr": [0.1], "seed": [0, 1]})
    for each, value in zip(sweep["jobs"], (0.8, 0.9), strict=True):
        each["metrics"]["val_accuracy"] = value
    sweep["groups"][0]["metrics"]["val_accuracy"] = {"mean": 0.85, "std": 0.0707, "n": 2}
    (row,) = rows(shown(sweep))
    assert row[:5] == ["★", "0.1", "0.85", "±", "0.07"]
    assert "± standard deviation over the n runs or folds of a row" in " ".join(shown(sweep).split())


def test_the_status_of_a_group_counts_what_is_finished(make_sweep):
    sweep = make_sweep(MODELS, failed={0: "failed", 2: "diverged", 3: "diverged"})
    assert [group_status(sweep, group) for group in sweep["groups"]] == [
        *("1 of 2 finished", "diverged", "finished", "finished")
    ]
    assert counts(sweep["jobs"]) == "8 jobs, 5 finished, 1 failed, 2 diverged"


def test_what_was_pruned_has_its_value_in_the_table_and_is_last(make_sweep):
    sweep = make_sweep({"lr": [1, 2]}, failed={0: "pruned"})
    sweep["jobs"][0]["metrics"] = {"val_accuracy": 0.987}
    text = shown(sweep)
    row = next(line for line in text.splitlines() if "0.987" in line)
    assert "pruned" in row and "★" not in row and ranking(sweep) == [1, 0]
    assert "pruned: its values are those of the epoch" in " ".join(text.split())


def test_every_failure_has_its_reason_in_one_line_and_its_log(make_sweep):
    text = shown(make_sweep(MODELS, failed=(3,)), directory=Path("outputs/sweeps/" + "long" * 30))
    assert "1 failure\n ✗ model=mlp optimizer.lr=0.5 seed=1: diverged: loss nan at epoch 1, step 7, lr 3\n" in text
    assert "long" * 30 + "/job-0000000000000003/run.log" in text.replace("\\", "/")
    assert f" next        {NEXT}" in text


def test_when_all_are_finished_there_is_no_failure(make_sweep):
    text = shown(make_sweep(MODELS))
    assert "8 jobs, all finished" in text
    assert "failure" not in text


def test_of_a_thousand_jobs_twenty_are_shown_and_the_rest_is_said_to_be_elsewhere(make_sweep):
    text = shown(make_sweep(**SWEEPS["many"]))
    assert len(rows(text)) == 20
    assert "980 rows in sweep.csv" in text
    assert text.count(" ✗ ") == 20 and "30 more in sweep.csv" in text


def test_columns_without_room_are_named(make_sweep):
    text = " ".join(shown(make_sweep(MODELS), 40).split())
    assert "no room for" in text and "see sweep.csv" in text
    assert "no room" not in shown(make_sweep(MODELS), 140)


def test_the_metric_that_ranks_is_the_first_column(make_sweep):
    assert main_metrics(make_sweep(MODELS, metric="val_loss"))[:2] == ["val_loss", "val_accuracy"]
    assert main_metrics(make_sweep(MODELS, metric=None))[0] == "val_accuracy"


def test_keys_are_shortened_only_where_they_stay_different(make_sweep):
    keys = {"model.init.name": ["normal"], "dataset.name": ["mine", "yours"], "optimizer.lr": [0.1]}
    head = shown(make_sweep(keys), 160).splitlines()[2].split()
    assert head[:3] == ["init.name", "dataset.name", "lr"]


def test_a_running_sweep_has_a_table_too(make_sweep):
    sweep = make_sweep(MODELS, failed=dict.fromkeys(range(8), "pending"))
    assert "8 jobs, 8 pending" in shown(sweep)


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_a_job_with_its_values_and_metrics(make_sweep, tmp_path):
    sweep = make_sweep(
        {"model": ["mlp"], "model.hidden": [[256, 128]], "optimizer.lr": [0.1, 0.123456789012]}, failed=(1,)
    )
    write_csv(sweep, tmp_path / "sweep.csv")
    first, second = read(tmp_path / "sweep.csv")
    assert list(first)[:7] == ["model", "model.hidden", "optimizer.lr", "directory", "status", "epochs", "seconds"]
    assert (first["model.hidden"], first["status"], first["epochs"]) == ("[256,128]", "finished", "2")
    assert float(first["val_loss"]) == sweep["jobs"][0]["metrics"]["val_loss"]  # to the last bit
    assert float(second["optimizer.lr"]) == 0.123456789012
    assert (second["val_loss"], second["status"]) == ("", "diverged")
    assert "loss nan" in second["error"]


def test_csv_of_folds_has_the_std_beside_each_mean(make_sweep, tmp_path):
    write_csv(make_sweep({"model": ["mlp"]}, kfold=True), tmp_path / "sweep.csv")
    (row,) = read(tmp_path / "sweep.csv")
    assert float(row["val_accuracy_std"]) == 0.012
    names = list(row)
    assert names.index("val_accuracy_std") == names.index("val_accuracy") + 1


def test_csv_takes_every_letter(make_sweep, tmp_path):
    write_csv(make_sweep({"dataset.path": ['红楼梦,"a"\n', "\udcff"]}), tmp_path / "sweep.csv")
    assert read(tmp_path / "sweep.csv")[0]["dataset.path"] == '红楼梦,"a"\n'


def test_a_sweep_that_went_through_json_is_shown_alike(make_sweep):
    sweep = make_sweep(MODELS, failed=(1,))
    sweep["jobs"][0]["metrics"]["train_loss"] = math.nan
    through = json.loads(json.dumps(sweep).replace("NaN", "null"))
    assert shown(through) == shown(sweep)


def test_rows_at_chance_are_called_so(make_sweep):
    sweep = make_sweep({"model": ["mlp", "lenet"], "seed": [0, 1]})
    for job in sweep["jobs"][:3]:
        job["at_chance"] = True
    assert counts(sweep["jobs"]) == "4 jobs, all finished, 3 at chance"
    assert [group_status(sweep, group) for group in sweep["groups"]] == ["finished, at chance", "finished, 1 at chance"]
    text = " ".join(shown(sweep, 120).split())
    assert "mlp finished, at chance" in text and "lenet finished, 1 at chance" in text
