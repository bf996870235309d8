"""Data in memory train as the same data on disk do."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import d2lrun as d2l
from d2lrun import datasets
from d2lrun.datasets import memory
from d2lrun.disk.cells import read_sheet
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.values import sheet_of
from tests.bits import same_bits, timeless

FEW = ["device=cpu", "train.epochs=2", "run.pictures=false"]


def test_images_in_memory_train_to_the_bits_of_the_same_images_on_disk(stripes, own_images):
    parts = {
        "train": (stripes.train_images, stripes.train_labels),
        "test": (stripes.test_images / 255, stripes.test_labels.numpy()),
    }
    run = d2l.train(*FEW, "model=softmax", data=parts)
    assert same_bits(run.model.state_dict(), d2l.train(*FEW, "model=softmax", *own_images).model.state_dict())
    assert run.config["dataset"]["name"] == "arrays" and run.metrics["test_accuracy"] > 0.5
    again = d2l.resume(d2l.load(run.directory), epochs=3)  # the arrays are not given again
    assert again.status == "finished" and len(run.predict().labels) == 101
    assert run.predict(stripes.test_images).probabilities.shape == (101, 10)


def test_images_in_colour_with_named_classes_and_a_part_to_validate():
    images = np.random.default_rng(1).integers(0, 256, (24, 5, 6, 3), dtype=np.uint8)
    labels = ["cat", "dog", "猫"] * 8
    run = d2l.train(
        *FEW, "model=softmax", "validation=holdout", data={"train": (images, labels), "val": (images, labels)}
    )
    assert run.predict(images).classes == ("cat", "dog", "猫") and "val_accuracy" in run.metrics
    assert run.model(torch.zeros(1, 3, 5, 6)).shape == (1, 3)


def test_classes_with_too_few_images_for_the_folds_are_named_before_the_first_fold():
    images, labels = np.zeros((14, 3, 3), dtype=np.uint8), ["cat"] * 6 + ["dog"] * 6 + ["owl"] * 2
    words = ["validation=kfold", "validation.k=3", "train.epochs=1"]
    run = d2l.train("device=cpu", "run.pictures=false", "model=softmax", *words, data=(images, labels))
    lines = [line[21:] for line in (run.directory / "run.log").read_text().splitlines()]
    assert lines[0] == "fewer examples than folds (k=3), so some folds validate none: class owl"
    assert lines[1].startswith("fold-0")


X = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)


def test_rows_in_memory_are_a_table():
    y = X @ np.array([1.0, -2.0, 0.5], dtype=np.float32)
    run = d2l.train(*FEW, "model=linear", data={"train": (X, y), "test": (X[:8], y[:8])})
    assert "test_rmse" in run.metrics
    found = run.predict(X)
    torch.testing.assert_close(found, run.predict({f"x{n}": X[:, n - 1] for n in (1, 2, 3)}), rtol=0, atol=0)
    assert run.evaluate()["test_rmse"] == pytest.approx(
        float(np.sqrt(np.mean((found[:8].numpy() - y[:8]) ** 2))), rel=1e-4
    )


def test_whole_numbers_and_texts_are_classes():
    for y in (X[:, 0] > 0).astype(int), np.where(X[:, 0] > 0, "yes", "no"):
        run = d2l.train(*FEW, "model=softmax", data=(torch.from_numpy(X), y))
        assert run.predict(X).classes == tuple(map(str, np.unique(y)))


def test_equal_data_are_one_file_whatever_holds_them(tmp_path):
    y = X[:, 0]
    for rows in (X, torch.from_numpy(X), X.tolist()):
        d2l.train(*FEW, "model=linear", data=(rows, y))
    assert len(list((tmp_path / "outputs" / "data").iterdir())) == 1


def test_a_sweep_takes_the_data_of_a_run():
    words, data = [*FEW, "model=linear", "validation=kfold", "validation.k=2"], (X, X[:, 0])
    sweep = d2l.sweep(*words, data=data, optimizer__lr=[0.1, 0.01])
    run = d2l.train(*words, data=data, optimizer__lr=0.01)
    assert sweep.runs[1].config["dataset"] == run.config["dataset"]
    assert timeless(sweep.runs[1].metrics) == timeless(run.metrics)


@pytest.mark.parametrize("words", [["run.root=here"], ["++run.root=here"]])
def test_the_data_lie_in_the_folder_of_the_outputs(words, tmp_path):
    run = d2l.train(*FEW, *words, "model=linear", data=(X, X[:, 0]))
    assert run.directory.is_relative_to(tmp_path / "here")
    assert {path.name for path in tmp_path.iterdir()} == {"here"}


def test_no_folder_of_the_outputs_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"run\.root"):
        d2l.train(*FEW, "run.root=null", "model=linear", data=(X, X[:, 0]))
    assert not (tmp_path / "None").exists()


def test_a_damaged_file_of_the_data_is_written_again(tmp_path):
    _, keys = memory.files_of((X, X[:, 0]), tmp_path, "data")
    content = Path(keys["path"]).read_bytes()
    Path(keys["path"]).write_bytes(content[:50])
    memory.files_of((X, X[:, 0]), tmp_path, "data")
    assert Path(keys["path"]).read_bytes() == content


def test_the_test_rows_are_predicted_whether_they_have_targets_or_not():
    y = X[:, 0]
    run = d2l.train(*FEW, "model=linear", data={"train": (X, y), "test": (X[:8], y[:8])})
    torch.testing.assert_close(run.predict(), run.predict(X[:8]), rtol=0, atol=0)
    with pytest.raises(Refused, match="has no test rows"):
        d2l.train(*FEW, "model=linear", data=(X, y)).predict()


def test_a_finished_run_whose_data_are_gone_can_be_resumed_but_not_trained(tmp_path):
    words = [*FEW, "model=linear", "run.dir=run"]
    run = d2l.train(*words, data=(X, X[:, 0]))
    [file] = (tmp_path / "outputs" / "data").iterdir()
    file.unlink()
    datasets._last = None  # as in another process
    assert d2l.resume(run).metrics == run.metrics
    with pytest.raises(Refused, match=f"{file.name}: No such file"):
        d2l.train(*words, dataset=run.config["dataset"])


@pytest.mark.parametrize("word", ["dataset=digits", "dataset.path=a.csv"])
def test_data_in_memory_and_another_dataset_are_refused(word):
    with pytest.raises(Refused, match="the data are given in memory"):
        d2l.train(*FEW, word, data=(X, X[:, 0]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (7, "data of the type int"),
        ((X,), "data: train: wanted inputs and targets"),
        ((X, X[:5, 0]), "data: train: .* inputs and 5 targets"),
        ((3, 4), "data: train: targets .* the shape"),
        ((iter(X), X[:, 0]), "data: train: no array: .*len"),
        (([[1.0], [2.0, 3.0]], [0, 1]), "data: train: no array: "),
        ({"test": (X, X[:, 0])}, "data with the parts test"),
        ({"train": (X, X[:, 0]), "valid": (X, X[:, 0])}, "data with the parts train, valid"),
        ((X, X[:, :2]), "data: train: targets of the type float32 and the shape .40, 2."),
        ((X, X[:, 0] * 1j), "data: train: targets of the type complex64"),
        ((X, [b"a", b"b"] * 20), "data: train: targets of the type .S1"),
        ((X, ["a", None] * 20), "data: train: target 2 is None"),
        ((X, [1.0, float("nan")] * 20), "data: train: target 2 is .*nan"),
        ((X, [Decimal(1)] * 40), "data: train: target 1 is Decimal"),
        ((np.where(X > 1, np.inf, X), X[:, 0]), "the rows: x1: inf is no finite number"),
        (({"a": X[:, 0], "b": X[:5, 0]}, X[:, 0]), "columns of different lengths"),
        (({"a": 3.0}, X[:1, 0]), "data: train: no array"),
        (({" a": X[:, 0], "a ": X[:, 1]}, X[:, 0]), "the rows: several columns are called a"),
        (({"1": X[:, 0]}, X[:, 0]), "the rows: a number, wanted the names"),
        (({"a": ["\ud800"]}, ["b"]), "data: a text that is no Unicode"),
        ((np.full((4, 2, 2), "a"), [0, 1, 0, 1]), "data: train: images of the type"),
        ({"train": (X, X[:, 0]), "val": (X, X[:, 0])}, "data: val"),
        ((X[:, 0], X[:, 0]), "rows of the type ndarray"),
        ((np.zeros((4, 2, 2)) - 1, [0, 1, 0, 1]), "pixels from -1 to -1"),
        ((np.zeros((4, 2, 2)), [0, 0, 0, 0]), "1 class"),
        ((np.zeros((4, 2, 2)), [0.5, 0, 0, 0]), "labels of the type float64"),
        ((np.zeros((4, 2, 2, 2)), [0, 1, 0, 1]), "of the shape"),
    ],
)
def test_data_that_fit_nothing_are_refused(data, message):
    with pytest.raises(Refused, match=message):
        d2l.train(*FEW, "model=softmax", data=data)


@pytest.mark.parametrize(
    ("targets", "kind", "first"),
    [
        (np.array([1.5, 2.5], dtype=object), "f", 1.5),
        (np.array([[1.5], [2.5]]), "f", 1.5),
        (torch.tensor([[3], [4]]), "i", 3),
        (np.array([3, 4], dtype=object), "i", 3),
        (np.array(["a", "b"], dtype=object), "U", "a"),
        ([True, False], "b", True),
    ],
)
def test_the_values_of_the_targets_decide_and_not_what_holds_them(targets, kind, first):
    found = memory.targets_of(targets, "data")
    assert found.dtype.kind == kind and found.shape == (2,) and found[0] == first


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5) | st.sampled_from(
    ["a;b", "a\tb", '"']
)
CELLS = TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.dates()


@given(st.data())
def test_rows_are_the_same_in_memory_and_in_the_file_that_is_written(tmp_path_factory, data):
    count = data.draw(st.integers(1, 4))
    column = st.lists(CELLS, min_size=count, max_size=count)
    rows = data.draw(st.dictionaries(TEXTS | st.integers(0, 9), column, min_size=1, max_size=4))
    folder = tmp_path_factory.mktemp("data")
    try:
        _, keys = memory.files_of((rows, [0] * count), folder, "data")
    except Refused as refusal:  # names that no file can have
        assert (
            "the names of the columns" in str(refusal) or "several columns" in str(refusal) or "target" in str(refusal)
        )
        return
    text = Path(keys["path"]).read_bytes().decode()
    read, given = read_sheet("file", text), sheet_of(rows, ())
    assert [*read.columns] == [*given.columns, "target"]
    assert all(read.columns[name].cells == given.columns[name].cells for name in given.columns)


def test_columns_of_numbers_are_those_of_an_array():
    class Frame(dict):  # as a DataFrame whose columns have no names
        columns = (0, 1, 2)

    assert memory.cells_in(Frame(enumerate(X.T))) == memory.cells_in(X)
    assert memory.cells_in({"day": [date(2026, 1, 2), None]}) == {"day": ["2026-01-02", ""]}
