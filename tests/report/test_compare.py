"""Runs side by side: what differs, in which order, which is the best; and the verb by a real process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import yaml
from PIL import Image
from rich.console import Console

from d2lrun.disk.recorded import Entry
from d2lrun.errors import Refused
from d2lrun.report.compare import (
    KEYS,
    arranged,
    best_of,
    differing,
    labels,
    layouts,
    metric_names,
    show,
    telling,
    write,
    write_csv,
)

FULL = {"seed": 1, "model.name": "mlp", "optimizer.lr": 0.1, "validation.name": "holdout", "run.dir": None}


def entry(name="a", status="finished", loss=0.5, metrics=None, epochs=3, parts="same", **config):
    changed = {key.replace("__", "."): value for key, value in config.items()}
    records = [
        {"epoch": k, "seconds": 1.0, "train_loss": loss / k, "val_loss": loss / k + 0.1} for k in range(1, epochs + 1)
    ]
    found = {"train_loss": (loss, None), "val_loss": (loss + 0.1, None)} if metrics is None else metrics
    measured = {name: [parts] for name in found}
    return Entry(Path("runs") / name, status, {**FULL, **changed}, found, records, epochs, 3.0, measured=measured)


def test_only_what_differs_is_a_key_and_the_groups_come_first():
    entries = [entry(optimizer__lr=0.1), entry(optimizer__lr=0.5, model__name="lenet", model__pool="max")]
    assert differing(entries) == ["model.name", "optimizer.lr", "model.pool"]


def test_circumstances_and_what_follows_do_not_differ():
    entries = [entry(run__dir="a", recipe__x=1, dataset__dir="x"), entry(run__dir="b", recipe__x=2, dataset__dir="y")]
    assert differing(entries) == []


@pytest.mark.parametrize("left, right", [(1, 1.5), ([1], [2]), (True, 1), (None, 0)])
def test_values_of_any_kind_differ(left, right):
    assert differing([entry(train__clip=left), entry(train__clip=right)]) == ["train.clip"]


def test_a_job_that_has_not_begun_does_not_make_every_key_differ():
    waiting = Entry(Path("b"), "pending", {"model.name": "mlp", "optimizer.lr": 0.5})
    assert differing([entry(optimizer__lr=0.1), entry(optimizer__lr=0.3), waiting]) == ["optimizer.lr"]
    assert differing([waiting]) == differing([]) == []


def test_labels_are_as_short_as_tells_the_runs_apart():
    entries = [entry(model__name="mlp", seed=1), entry(model__name="lenet", seed=2)]
    assert labels(entries) == ["model=mlp", "model=lenet"]
    entries.append(entry(model__name="lenet", seed=3))
    assert labels(entries) == ["model=mlp seed=1", "model=lenet seed=2", "model=lenet seed=3"]


def test_runs_that_are_alike_have_their_directory_for_a_label():
    assert labels([entry("a"), entry("b")]) == ["a", "b"]
    assert labels([entry("a", seed=1), entry("b", seed=1), entry("c", seed=2)]) == ["seed=1 a", "seed=1 b", "seed=2"]


def test_a_key_that_goes_with_another_tells_nothing_more():
    """The dataset follows from the model here; the seed tells apart what the model does not."""
    rows = [("mlp", "images", 1), ("lstm", "text", 1), ("lstm", "text", 2)]
    entries = [entry(model__name=model, dataset__name=data, seed=seed) for model, data, seed in rows]
    assert telling(entries, differing(entries)) == ["model.name", "seed"]
    assert labels(entries)[1:] == ["model=lstm seed=1", "model=lstm seed=2"]


def test_at_80_columns_what_differs_stays_before_what_is_equal():
    changed = [
        {"optimizer__lr": lr, "model__hidden": [h] * 6, "train__epochs": e}
        for lr in (1, 2)
        for h in (8, 9)
        for e in (3, 4)
    ]
    metrics = dict.fromkeys(("val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_loss"), (0.123, None))
    entries = [entry(metrics=metrics, **each) for each in changed]
    console = Console(file=StringIO(), width=80)
    show(console, entries)
    head = console.file.getvalue().partition("─")[0]
    assert all(word in head for word in ("lr", "hidden", "epochs")) and "status" not in head


def test_metrics_the_most_telling_first():
    metrics = dict.fromkeys(["train_loss", "test_accuracy", "x_per_second", "val_loss", "val_accuracy"], (1.0, None))
    order = ["val_accuracy", "val_loss", "test_accuracy", "train_loss", "x_per_second"]
    assert metric_names([entry(metrics=metrics)]) == order
    only_test = {"test_accuracy": (1.0, None)}
    assert metric_names([entry(metrics=metrics), entry(metrics=only_test)])[0] == "test_accuracy"


def test_sorting_knows_which_way_is_better_and_puts_the_unmeasured_last():
    entries = [entry(metrics={"val_loss": (value, None), "val_accuracy": (value, None)}) for value in (2.0, 1.0, 3.0)]
    entries.insert(0, entry(metrics={"val_loss": (None, None)}))
    values = [each.metrics["val_loss"][0] for each in arranged(entries, "val_loss")]
    assert values == [1.0, 2.0, 3.0, None]
    assert [each.metrics["val_loss"][0] for each in arranged(entries, "val_accuracy")] == [3.0, 2.0, 1.0, None]
    assert arranged(entries, None) == entries


def test_an_unknown_metric_is_refused_with_those_there_are():
    with pytest.raises(Refused, match=r"sort=val_los: no such metric; did you mean val_loss\?") as refused:
        arranged([entry()], "val_los")
    assert "train_loss" in refused.value.hint


def test_the_best_is_the_best_finished_one_by_validation():
    entries = [entry(loss=0.5), entry(loss=0.4), entry(loss=0.3, status="unfinished")]
    assert best_of(entries) == (entries[1], None)


@pytest.mark.parametrize(
    "entries, why",
    [
        # the test set must not choose
        ([entry(metrics={"test_accuracy": (value, None)}) for value in (0.8, 0.9)], None),
        (
            [entry(validation__name="kfold", parts="a"), entry(validation__name="holdout", parts="b", loss=0.1)],
            "val loss was not measured on the same examples: validation differs",
        ),
        (
            [
                entry(dataset__path=["a"], parts="a", data="1"),
                entry(dataset__path=["b"], parts="b", data="2", loss=0.1),
            ],
            "val loss was not measured on the same examples: dataset.path differs",
        ),
        (
            [entry(data="1", parts="a"), entry(data="2", parts="b", loss=0.1)],
            "val loss was not measured on the same examples: data differs",
        ),
        ([entry(loss=0.5), entry(loss=0.5), entry(loss=0.6)], "several runs tie for the best val loss"),
        ([entry()], None),
        ([], None),
    ],
)
def test_what_cannot_be_compared_has_no_best_and_it_is_said_why(entries, why):
    assert best_of(entries) == (None, why)


def test_runs_of_an_earlier_version_have_no_best_among_them():
    entries = [entry(), entry(loss=0.1)]
    entries[1].measured = None
    best, why = best_of(entries)
    assert best is None and why.startswith("an earlier version made run 2 and recorded nothing of the data")


def test_a_run_that_lacks_parts_is_named_and_one_at_chance_is_not_the_best():
    folds = [entry(loss=0.5), entry(loss=0.4), entry(loss=0.3)]
    for each in folds:
        each.measured = {"val_loss": ["a", "b"]}
    folds[2].measured = {"val_loss": ["a"]}
    assert best_of(folds) == (folds[1], "for run 3: measured on fewer of the parts (folds) than others")
    folds[1].at_chance = True
    assert best_of(folds)[0] is folds[0]


def test_texts_of_runs_without_a_record_are_shown():
    assert differing([entry(dataset__path=["a.txt"]), entry(dataset__path=["b.txt"])]) == ["dataset.path"]


def test_runs_that_are_all_at_chance_have_no_best():
    entries = [entry(), entry(loss=0.1)]
    for each in entries:
        each.at_chance = True
    assert best_of(entries) == (None, "none is better than chance")


def test_other_data_in_the_same_place_are_no_same_run():
    entries = [entry(data="1"), entry(data="2")]
    assert differing(entries) == ["data"]
    assert "neither the configs nor the data differ" not in shown(entries)
    assert "neither the configs nor the data differ" in shown([entry(data="1"), entry(data="1")])


def shown(entries, width=80):
    console = Console(file=StringIO(), width=width)
    show(console, entries)
    return console.file.getvalue()


MANY = [entry(f"run-{k}", loss=0.1 + 0.001 * k, seed=k) for k in range(60)]
WIDE = [
    entry("a", model__name="mlp", model__hidden=[256, 128], train__epochs=3, train__clip=1.0),
    entry(
        "b",
        "damaged",
        {},
        metrics={},
        epochs=0,
        model__name="lenet",
        model__pool="max",
        dataset__path=["红楼梦.txt"] * 9,
    ),
]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("entries", [MANY, WIDE, MANY[:1], [Entry(Path("x"), "damaged", problem="cannot read it")]])
def test_only_paths_are_wider_than_the_console(entries, width):
    lines = shown(entries, width).splitlines()
    assert all(len(line) <= width for line in lines if "runs" not in line)


def test_the_table_has_what_differs_and_the_metrics():
    text = shown([entry("a", optimizer__lr=0.1), entry("b", "unfinished", optimizer__lr=0.5, metrics={})])
    assert "2 runs, 1 finished, 1 unfinished" in text
    assert " 1  0.1  finished    0.600" in text and " 2  0.5  unfinished" in text
    assert f"   1  {Path('runs') / 'a'}" in text


def test_a_mean_over_folds_has_its_spread():
    text = shown([entry(metrics={"val_loss": (0.5, 0.0123)}), entry("b", metrics={"val_loss": (0.6, 0.02)})])
    assert "0.500 ± 0.012" in text and "standard deviation over the folds" in text


def test_of_many_runs_fifty_are_shown():
    text = shown(MANY)
    assert "10 rows in compare.csv" in text
    assert text.count("finished") == 51


def test_a_problem_is_said_beside_the_directory():
    assert f"{Path('x')}: cannot read it" in shown([Entry(Path("x"), "damaged", problem="cannot read it")])


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_everything(tmp_path):
    folds = entry("b", metrics={"val_loss": (0.5, 0.0123)}, optimizer__lr=0.5)
    write_csv([entry("a"), folds, Entry(Path("c"), "damaged", problem="汉, x")], tmp_path / "compare.csv")
    first, second, third = read(tmp_path / "compare.csv")
    assert (first["optimizer.lr"], first["train_loss"], first["epochs"]) == ("0.1", "0.5", "3")
    assert (second["val_loss"], second["val_loss_std"], second["train_loss"]) == ("0.5", "0.0123", "")
    assert (third["status"], third["problem"], third["optimizer.lr"]) == ("damaged", "汉, x", "")


def test_files_go_where_they_are_wanted_or_to_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in write([entry()], "deep/er")] == ["compare.csv", "compare.png"]
    folders = {path.parent for _ in range(3) for path in write([entry(epochs=0)], None)}
    assert len(folders) == 3
    assert all(folder.parts[:2] == ("outputs", "compare") for folder in folders)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot write to"):
        write([entry()], str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["compare.csv", "compare.png"])
def test_a_file_of_the_users_is_not_overwritten(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(Refused, match=f"holds {name} that d2lrun compare did not write"):
        write([entry()], str(tmp_path))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_an_earlier_comparison_is_overwritten(tmp_path):
    assert write([entry()], str(tmp_path)) == write([entry("b")], str(tmp_path))


def make_run(path, lr, accuracy=0.8):
    path.mkdir(parents=True)
    config = {"seed": 1, "model": {"name": "mlp"}, "optimizer": {"name": "sgd", "lr": lr}}
    (path / "config.yaml").write_text(yaml.safe_dump(config))
    (path / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": 0.5, "test_loss": 0.6}\n{"epo')
    (path / "result.json").write_text(json.dumps({"status": "finished", "metrics": {"test_accuracy": accuracy}}))


@pytest.fixture
def compare(tmp_path):
    for name, lr in (("a", 0.1), ("b", 0.5)):
        make_run(tmp_path / "outputs" / "runs" / name, lr)

    def call(*words):
        program = """
import sys
from d2lrun.cli import main as cli
try:
    cli.main()
except SystemExit as end:
    print([name for name in ("torch", "matplotlib") if name in sys.modules], file=sys.stderr)
    raise
"""
        command = [sys.executable, "-c", program, "compare", *words]
        environment = os.environ | {"COLUMNS": "80"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=1800
        )

    return call


def test_the_verb_compares_without_torch(compare, tmp_path):
    done = compare("outputs/runs/b", "outputs/runs/a", "sort=test_accuracy", "out=here")
    assert (done.returncode, done.stderr) == (0, "['matplotlib']\n")
    assert " 1  0.5  finished" in done.stdout
    assert len(read(tmp_path / "here" / "compare.csv")) == 2
    with Image.open(tmp_path / "here" / "compare.png") as image:
        assert image.size[0] >= 1000


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "compare: nothing to compare"),
        (["none"], "none: no such directory"),
        (["outputs/runs", "srt=x"], "srt=x: no such option; did you mean sort?"),
        (["outputs/runs", "sort=x"], "sort=x: no such metric"),
        (["outputs"], "outputs: neither a run nor a sweep; it holds some, try outputs/*"),
    ],
)
def test_the_verb_refuses_without_torch_and_matplotlib(compare, words, message):
    done = compare(*words)
    error, hint, modules = done.stderr.splitlines()
    assert (done.returncode, done.stdout, modules) == (2, "", "[]")
    assert error.startswith(f"error: {message}") and hint.startswith("hint: ")


def test_of_many_keys_that_differ_the_table_has_the_first(tmp_path):
    configs = [{f"k{number}": number + run for number in range(500)} for run in range(2)]
    entries = [Entry(tmp_path / str(run), "finished", config) for run, config in enumerate(configs)]
    assert all(len(layout) <= KEYS + 10 for layout in layouts(entries, entries, None))
    assert len(labels(entries)[0].split()) <= KEYS
    write_csv(entries, tmp_path / "compare.csv")
    assert "k499" in (tmp_path / "compare.csv").read_text()
