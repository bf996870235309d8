"""Numbers learned from rows: whole runs in this process, and what they leave."""

from __future__ import annotations

import csv
import io
import json
from functools import partial

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from rich.console import Console

from d2lrun import datasets
from d2lrun.cli import verbs
from d2lrun.config.compose import compose, departures
from d2lrun.datasets import house_prices
from d2lrun.disk import rundir
from d2lrun.disk.download import Found
from d2lrun.errors import Refused
from d2lrun.runs import cost, kfold
from d2lrun.runs.run import run

HOUSES = 60
SMALL = ["dataset=house-prices", "optimizer=adam", "optimizer.lr=100", "train.batch_size=16", "train.epochs=3"]


def houses(count, seed, priced):
    """A csv of houses whose price is 1,000 times their area, more or less; some areas are missing."""
    numbers = np.random.default_rng(seed)
    rows = [["Id", "Area", "Street", *(["SalePrice"] if priced else [])]]
    for number, area in enumerate(numbers.integers(50, 300, count), start=seed * 1000):
        shown = "NA" if number % 20 == 0 else area
        rows.append([number, shown, "Pave" if area % 2 else "Grvl", *([area * 1000] if priced else [])])
    return "\n".join(",".join(map(str, row)) for row in rows).encode()


@pytest.fixture
def found(monkeypatch):
    """Few houses, as if they were those of Kaggle."""
    contents = {
        house_prices.TRAIN: Found(houses(HOUSES, 1, priced=True), "train.csv", "1"),
        house_prices.TEST: Found(houses(25, 2, priced=False), "test.csv", "2"),
    }
    monkeypatch.setattr(house_prices, "locate", lambda *arguments: contents)
    monkeypatch.setattr(datasets, "_last", None)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(WORD…)``: a run to its end without its pictures; its directory and its result."""
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    return partial(trained, tmp_path)


def trained(tmp_path, *words):
    config = compose(["model=linear", "device=cpu", f"run.root={tmp_path}", *words])
    with rundir.claim(config) as directory:
        result = run(config, directory, Console(file=io.StringIO()), departures(config))
    return directory, result


def records(directory):
    return [json.loads(line) for line in directory.metrics_file.read_text("utf-8").splitlines()]


def submitted(directory):
    with open(directory.submission, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def by_hand(words, epochs):
    """The book's loop on the same rows in the same order: losses before any step and after each epoch, and ‖w‖."""
    config = compose(["model=linear", *words])
    data = datasets.load(config.dataset)
    torch.manual_seed(config.seed)
    weight, bias = torch.empty(1, data.inputs[0]), torch.empty(1)
    torch.nn.init.normal_(weight), torch.nn.init.normal_(bias)
    found = []
    for epoch in range(epochs):
        for batch in data.part("train").shuffled(config.train.batch_size, config.seed, epoch):
            x, y = data.train_features[batch], data.train_targets[batch]
            errors = x @ weight.T + bias - y
            slope = 2 * errors.T @ x / len(batch) + config.optimizer.weight_decay * weight
            weight, bias = weight - config.optimizer.lr * slope, bias - config.optimizer.lr * 2 * errors.mean()
        losses = [
            ((features @ weight.T + bias - targets) ** 2).mean().item()
            for features, targets in (
                (data.train_features, data.train_targets),
                (data.test_features, data.test_targets),
            )
        ]
        found.append((*losses, weight.norm().item()))
    return found


@pytest.mark.parametrize("experiment", ["weight-decay", "weight-decay-off"])
def test_a_run_is_the_books_loop_measured_after_each_epoch(train, monkeypatch, experiment):
    monkeypatch.setattr("torch.nn.Linear.reset_parameters", lambda layer: None)  # so that the draws are in step
    words = [f"experiment={experiment}", "train.epochs=4"]
    directory, result = train(*words)
    for record, wanted in zip(records(directory), by_hand(words, 4), strict=True):
        measured = [record[name] for name in ("train_loss", "test_loss", "weight_norm")]
        assert measured == pytest.approx(wanted, rel=1e-4)
    assert result["metrics"]["weight_norm"] == records(directory)[-1]["weight_norm"]


def test_the_training_part_is_measured_without_dropout(train):
    """The weights hardly move: only units that are dropped could make the figure another for another batch size."""
    words = ["model=mlp", "model.hidden=[8]", "model.dropout=[0.5]", "dataset=linear", "train.epochs=2"]
    one, other = (train(*words, "optimizer.lr=1e-30", f"train.batch_size={size}")[1] for size in (5, 20))
    assert one["metrics"]["train_loss"] == pytest.approx(other["metrics"]["train_loss"], rel=1e-6)
    assert "weight_norm" not in one["metrics"]


def test_the_cost_counts_the_second_measurement_of_the_training_rows(monkeypatch):
    monkeypatch.setattr(cost, "MEASURING", 0.0)
    config = compose(["model=linear", "dataset.n_train=20", "dataset.n_test=100", "train.batch_size=10", "device=cpu"])
    found, _ = cost.measure(config, Console(file=io.StringIO()))
    assert (found.steps, found.evaluations) == (2, 2 + 10)


def test_every_row_to_predict_is_submitted_with_what_the_network_makes_of_it(train, found):
    directory, result = train(*SMALL)
    header, *rows = submitted(directory)
    assert header == ["Id", "SalePrice"] and [row[0] for row in rows] == [str(2000 + at) for at in range(25)]
    assert {"train_loss", "train_log_rmse"} <= set(result["metrics"]) and "test_loss" not in result["metrics"]
    data = datasets.load(compose(["model=linear", *SMALL]).dataset)
    weights = safetensors.torch.load_file(directory.weights_file)
    wanted = (data.test_features @ weights["weight"].T + weights["bias"])[:, 0].clamp(min=1)
    assert [float(row[1]) for row in rows] == pytest.approx(wanted.tolist(), abs=0.01)


def test_predict_writes_the_same_submission_again(train, found, capsys):
    directory, _ = train(*SMALL, "validation=holdout", "validation.fraction=0.4")
    before = submitted(directory)
    directory.submission.unlink()
    assert verbs.ask("predict", [str(directory.path)]) == 0
    assert submitted(directory) == before
    assert "25 rows in all" in capsys.readouterr().out


def test_what_was_held_out_is_measured_again_as_it_was(train, found, capsys):
    directory, result = train(*SMALL, "validation=holdout", "validation.fraction=0.4")
    assert verbs.evaluate([str(directory.path)]) == 0
    assert f"val log rmse {result['metrics']['val_log_rmse']:.4f}" in capsys.readouterr().out


def test_without_targets_nothing_can_be_measured(train, found):
    directory, _ = train(*SMALL)
    with pytest.raises(Refused, match="house-prices has no labelled test set, and nothing was held out of it"):
        verbs.evaluate([str(directory.path)])


def test_of_k_folds_the_run_on_all_rows_is_what_one_hands_in(found, tmp_path, monkeypatch):
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    words = ["validation=kfold", "validation.k=3", "validation.refit=true", "run.pictures=false"]
    config = compose(["model=linear", "device=cpu", f"run.root={tmp_path}", *SMALL, *words])
    with rundir.claim(config) as directory:
        result = kfold.run_folds(config, directory, Console(file=io.StringIO()), None)
    everything = rundir.RunDirectory(directory.path / "refit")
    assert submitted(directory) == submitted(everything) != submitted(rundir.RunDirectory(directory.path / "fold-0"))
    assert result["refit"]["test_set"] == "without labels: see submission.csv"


def test_of_made_rows_there_is_nothing_to_predict(train):
    directory, _ = train("train.epochs=1")
    assert not directory.submission.exists()
    with pytest.raises(Refused, match="each row of linear has a target"):
        verbs.ask("predict", [str(directory.path)])


def test_rows_that_are_made_take_no_file(train, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    directory, _ = train("train.epochs=1")
    with pytest.raises(Refused, match=r"a\.png: the rows of linear are not from a file"):
        verbs.ask("predict", [str(directory.path), str(tmp_path / "a.png")])


@pytest.mark.parametrize(
    "words", [["experiment=polynomial-overfit"], [], SMALL, [*SMALL, "validation=holdout", "model=mlp"]], ids=str
)
def test_every_run_ends_with_its_pictures_and_its_page(tmp_path, found, words):
    directory, _ = trained(tmp_path, *words, "train.epochs=2")
    for path in (directory.curves, directory.predictions, directory.page):
        assert path.stat().st_size > 1000, path


@pytest.mark.parametrize("name, words", [("house-prices", "1 number, 1 with categories"), ("polynomial", "4 numbers")])
def test_a_table_is_described(found, capsys, name, words):
    assert verbs.data([f"dataset={name}"]) == 0
    assert words in capsys.readouterr().out


# --- beside the best constant prediction -----------------------------------------------------------------------------

OVERFITTED = [
    "dataset=linear",
    "dataset.n_train=20",
    "model.init.name=normal",
    "model.init.std=1",
    "optimizer.lr=0.001",
]


@pytest.mark.parametrize("epochs, dead", [(1, False), (3, True)])
def test_a_run_worse_than_a_constant_says_so(train, epochs, dead):
    _, result = train(*OVERFITTED, f"train.epochs={epochs}")
    assert result["status"] == "finished"
    assert result["floor"]["metric"] == "test_loss" and result["floor"]["at_chance"]
    assert result["metrics"]["test_loss"] > result["floor"]["value"]
    assert bool(result["dead"]) == dead  # a quick look is not diagnosed


def test_a_run_that_learns_is_better_than_a_constant(train):
    made = ["dataset=linear", "dataset.inputs=2", "dataset.weights=[1]", "dataset.n_train=100"]
    _, result = train(*made, "optimizer.lr=0.1", "train.epochs=5", "train.batch_size=10", "validation=holdout")
    assert result["floor"]["metric"] == "val_loss" and not result["floor"]["at_chance"]
    assert result["dead"] is None


def test_folds_worse_than_a_constant_are_counted(found, tmp_path, monkeypatch):
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    words = [*SMALL, "optimizer.lr=1e-9", "validation=kfold", "validation.k=3", "run.pictures=false"]
    config = compose(["model=linear", "device=cpu", f"run.root={tmp_path}", *words])
    with rundir.claim(config) as directory:
        result = kfold.run_folds(config, directory, Console(file=io.StringIO()), None)
    floors = [fold["floor"] for fold in result["folds"]]
    assert [floor["at_chance"] for floor in floors] == [True] * 3 and result["floor"]["at_chance"]
    assert result["floor"]["value"] == pytest.approx(np.mean([floor["value"] for floor in floors]))
    assert rundir.is_at_chance(result)
