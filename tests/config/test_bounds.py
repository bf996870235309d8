"""No model beats the entropy of made data: on what was held out, nothing is better than chance allows.

The targets are drawn independently of the inputs, so that whatever a network learns, each held-out example costs at
least what it costs the best guess. A figure below that means that an answer was seen.
"""

from __future__ import annotations

import io
import random
import struct
from math import log, sqrt

import numpy as np
import pytest
from rich.console import Console

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.config.tables import MODELS
from d2lrun.datasets.fashion_mnist import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk import rundir
from d2lrun.runs.run import run

ERRORS = 5  # standard errors
LETTERS = "abcdefgh"
TRAINED = ["optimizer=adam", "optimizer.lr=0.01", "train.epochs=4", "device=cpu", "device.threads=1"]


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """``measured(WORD…)``: the metrics of a run to its end."""
    monkeypatch.setattr(datasets, "_last", None)

    def measured(*words):
        config = compose([*TRAINED, "run.pictures=false", f"run.root={tmp_path}", *words])
        with rundir.claim(config) as directory:
            return run(config, directory, Console(file=io.StringIO()), None)["metrics"]

    return measured


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """400 + 1,000 random images with random labels of ten classes."""
    folder, numbers = tmp_path_factory.mktemp("noise"), np.random.default_rng(1)
    for images, labels, count in ((TRAIN_IMAGES, TRAIN_LABELS, 400), (TEST_IMAGES, TEST_LABELS, 1000)):
        pixels = numbers.integers(256, size=count * 784, dtype=np.uint8).tobytes()
        (folder / images).write_bytes(struct.pack(">HBB3I", 0, 8, 3, count, 28, 28) + pixels)
        (folder / labels).write_bytes(
            struct.pack(">HBBI", 0, 8, 1, count) + numbers.integers(10, size=count, dtype=np.uint8).tobytes()
        )
    return folder


@pytest.fixture(scope="module")
def letters(tmp_path_factory):
    """6,000 random letters of an alphabet of 8."""
    file = tmp_path_factory.mktemp("letters") / "random.txt"
    file.write_text("".join(random.Random(1).choices(LETTERS, k=6000)), encoding="utf-8")
    return file


def of_kind(kind):
    return [name for name, entry in MODELS.items() if kind in entry.inputs]


@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet"])
def test_no_classifier_knows_random_labels(measured, noise, model):
    words = [f"model={model}", "train.batch_size=50", "dataset.verify=false", f"dataset.dir={noise}"]
    metrics = measured(*words, "validation=holdout", "validation.fraction=0.5")
    for part, count in (("val", 200), ("test", 1000)):
        assert metrics[f"{part}_accuracy"] < 0.1 + ERRORS * sqrt(0.1 * 0.9 / count)
    assert metrics["train_accuracy"] > 0.1


@pytest.mark.parametrize("model", [name for name in of_kind("table") if name != "nadaraya-watson"])
def test_no_regression_knows_noise(measured, model):
    made = ["dataset=linear", "dataset.weights=[0]", "dataset.bias=0", "dataset.noise=1", "dataset.inputs=5"]
    words = [f"model={model}", *made, "dataset.n_train=1000", "dataset.n_test=1000", "train.batch_size=50"]
    metrics = measured(*words, "validation=holdout", "validation.fraction=0.5")
    for part, count in (("val", 500), ("test", 1000)):  # the noise has variance 1, and its square a deviation of √2
        assert metrics[f"{part}_loss"] > 1 - ERRORS * sqrt(2 / count)


@pytest.mark.parametrize("sampling", ["random", "sequential"])
@pytest.mark.parametrize("model", of_kind("text"))
def test_no_language_model_knows_random_letters(measured, letters, model, sampling):
    """A bidirectional one does, which reads the letter that it predicts: it is not among them."""
    small = {"ngram": [], "transformer": ["model.width=32", "model.layers=1", "model.feedforward=64"]}
    small = small.get(model, ["model.hidden=32"])
    data = ["dataset=text", f"dataset.path=[{letters}]", f"dataset.sampling={sampling}", "dataset.steps=20"]
    words = [f"model={model}", *small, *data, "train.batch_size=16", "validation=holdout", "validation.fraction=0.3"]
    loss = measured(*words)["val_loss"]
    assert loss > log(len(LETTERS)) - ERRORS * 0.5 / sqrt(1800)  # letters differ in cost by half a nat
    assert loss < log(len(LETTERS)) + 0.5  # it has learned which letters there are
