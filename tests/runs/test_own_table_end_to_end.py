"""A table of one's own: whole runs in this process, what they leave, and predictions of other files."""

from __future__ import annotations

import csv
import io
from functools import partial

import numpy as np
import pytest
import torch
from rich.console import Console

from d2lrun.cli import verbs
from d2lrun.config.compose import compose
from d2lrun.datasets import load
from d2lrun.disk import rundir
from d2lrun.errors import Refused
from d2lrun.runs import cost, kfold
from d2lrun.runs.run import run
from d2lrun.tasks.tabular.baselines import logistic, ridge

HEAD = "Id,size,town,price,kind"
SMALL = ["dataset=csv", "device=cpu", "optimizer=adam", "optimizer.lr=0.05", "train.batch_size=8", "train.epochs=8"]


def rows(count, seed):
    """Rows whose price is three times their size, and whose kind depends on it; some sizes are missing."""
    sizes = np.random.default_rng(seed).integers(1, 100, count).tolist()
    return [f"{n},{size if n % 9 else ''},{'pq'[n % 2]},{3 * size}.5,{'small' if size < 30 else 'big'}"
            for n, size in enumerate(sizes, 1000 * seed)]  # fmt: skip


@pytest.fixture
def train(tmp_path, monkeypatch):
    """``train(TARGET, WORD…)``: a run to its end on 60 rows, without its pictures; its directory and its result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("d2lrun.runs.run.draw", lambda *arguments: None)
    (tmp_path / "a.csv").write_text("\n".join([HEAD, *rows(60, 1)]), "utf-8")
    return partial(trained, tmp_path)


def trained(tmp_path, target, *words):
    drop = "price" if target == "kind" else "kind"
    given = [*SMALL, "dataset.path=a.csv", f"dataset.target={target}", f"dataset.drop=[{drop}]", f"run.root={tmp_path}"]
    config = compose(["model=linear", *given, *words])
    with rundir.claim(config) as directory:
        folds = config.validation.name == "kfold"
        result = (kfold.run_folds if folds else run)(config, directory, Console(file=io.StringIO()), None)
    return directory, result


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


HOLDOUT = ["validation=holdout", "validation.fraction=0.3"]


def test_numbers_have_an_rmse_in_their_own_unit(train):
    _, result = train("price", *HOLDOUT, "train.epochs=30")
    assert result["metrics"]["val_rmse"] < 40 < result["baselines"]["mean"] == result["floor"]["value"]
    assert result["floor"]["metric"] == "val_rmse" and set(result["baselines"]) == {"mean", "linear regression"}


def test_classes_have_metrics_that_count_each_class_alike(train):
    _, result = train("kind", *HOLDOUT, "train.class_weights=balanced")
    assert {"val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss"} <= set(result["metrics"])
    assert result["baselines"]["commonest class"] < result["metrics"]["val_accuracy"]


@pytest.mark.parametrize("model", ["softmax", "mlp", "linear"])
def test_what_was_held_out_is_measured_again_as_it_was(train, model, capsys):
    directory, result = train("kind", f"model={model}", *HOLDOUT, "train.class_weights=balanced")
    assert verbs.evaluate([str(directory.path)]) == 0
    found = capsys.readouterr().out
    for name in ("loss", "macro_f1"):
        assert f"val {name.replace('_', ' ')} {result['metrics'][f'val_{name}']:.4f}" in found


def test_folds_have_their_share_of_each_class_and_the_mean_of_the_baselines(train):
    _, result = train("kind", "validation=kfold", "validation.k=3")
    floors = [fold["floor"]["value"] for fold in result["folds"]]
    assert max(floors) - min(floors) < 0.06
    assert set(result["baselines"]) == {"commonest class", "logistic regression"}


def test_the_cost_of_a_table_is_measured(train, monkeypatch):
    train("kind")
    monkeypatch.setattr(cost, "MEASURING", 0.0)
    config = compose(["model=mlp", *SMALL, "dataset.path=a.csv", "dataset.target=kind"])
    assert cost.measure(config, Console(file=io.StringIO()))[0].steps == 8


def test_what_is_strange_stands_in_the_notes(train):
    _, result = train("price", "dataset.drop=[]")
    assert any(note.startswith("size determines price") for note in result["notes"])
    assert result["note"].startswith("nothing was held out")


# --- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["kind", "price"])
def test_a_file_is_predicted_as_the_dataset_would_be(train, tmp_path, target, capsys):
    """The same rows as a second file of the dataset: the features are made by the run's record alone."""
    (tmp_path / "b.csv").write_text("\n".join([HEAD, *rows(7, 2)]), "utf-8")
    directory, _ = train(target, *HOLDOUT, "dataset.test=b.csv")
    config = directory.load_config()
    data = load(config.dataset).fit(config)
    _, _, model = verbs_load(directory)
    outputs = model(data.test_features).detach()
    (tmp_path / "a.csv").unlink()
    assert verbs.ask("predict", [str(directory.path), "b.csv"]) == 0
    head, *found = read(directory.path / "predictions.csv")
    assert head[:2] == ["Id", target] and [row[0] for row in found] == [str(2000 + n) for n in range(7)]
    if target == "kind":
        assert [row[1] for row in found] == [data.classes[k] for k in outputs.argmax(dim=1)]
        assert [float(row[2]) for row in found] == pytest.approx(outputs.softmax(1).amax(1).tolist(), abs=1e-6)
    else:
        wanted = outputs[:, 0] * data.scale.deviation + data.scale.mean
        assert [float(row[1]) for row in found] == pytest.approx(wanted.tolist(), rel=1e-5)
    assert ("accuracy" if target == "kind" else "rmse") in capsys.readouterr().out


def verbs_load(directory):
    from d2lrun.runs import inference

    return inference.load(directory)


def test_a_new_category_and_another_column_are_said_and_a_missing_one_is_refused(train, tmp_path, capsys):
    directory, _ = train("kind")
    (tmp_path / "b.csv").write_text("town;more;size\nz;1;5,5\np;1;\n", "utf-8")
    assert verbs.ask("predict", [str(directory.path), "b.csv"]) == 0
    out = capsys.readouterr().out
    assert "not used, since training did not use it: more" in out
    assert "town: 1 row with a category that no training row had: z" in out
    assert [row[0] for row in read(directory.path / "predictions.csv")] == ["line", "2", "3"]
    (tmp_path / "c.csv").write_text("size\n5\n", "utf-8")
    with pytest.raises(Refused, match=r"c\.csv: no column town"):
        verbs.ask("predict", [str(directory.path), "c.csv"])


def test_rows_without_a_target_are_submitted_with_their_names(train, tmp_path):
    (tmp_path / "b.csv").write_text("town,size,Id\nq,90,x7\np,5,x8\n", "utf-8")
    directory, _ = train("kind", "dataset.test=b.csv", "train.epochs=40")
    assert read(directory.submission) == [["Id", "kind"], ["x7", "big"], ["x8", "small"]]


@pytest.mark.parametrize("content", ["{", "[]", '{"target": 3}'])
def test_a_damaged_record_is_refused(train, content):
    directory, _ = train("kind")
    directory.columns_file.write_text(content)
    with pytest.raises(Refused, match=r"columns\.json is damaged"):
        verbs.ask("predict", [str(directory.path), "a.csv"])


def test_weights_of_classes_are_refused_for_a_number(train):
    with pytest.raises(Refused, match="price is a number, without classes"):
        train("price", "train.class_weights=balanced")


# --- baselines --------------------------------------------------------------------------------------------------------


def test_the_linear_baseline_solves_the_penalised_least_squares():
    """The gradient of the summed squared error and the squared weights is 0; the bias has no penalty."""
    torch.manual_seed(0)
    x, y = torch.randn(30, 4).double() + 3, torch.randn(30, 1).double()
    model = ridge(x, y)
    errors = model(x) - y
    assert errors.mean().abs() < 1e-9
    assert ((x - x.mean(0)).T @ errors + model.weights).abs().max() < 1e-9


def test_the_logistic_baseline_has_no_slope():
    torch.manual_seed(0)
    x, classes = torch.randn(60, 3).double(), torch.randint(3, (60,))
    model = logistic(x, classes, 3)
    errors = (x @ model.weights + model.bias).softmax(1) - torch.nn.functional.one_hot(classes, 3)
    assert (x.T @ errors + model.weights).abs().max() < 1e-2 and errors.sum(0).abs().max() < 1e-2
