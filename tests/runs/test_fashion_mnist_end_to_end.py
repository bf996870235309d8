"""The book's networks on the book's data, which ``make data`` provides; without it these tests fail."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from d2lrun.config.compose import compose, departures
from d2lrun.disk import rundir
from d2lrun.runs.run import run


@pytest.fixture
def train(tmp_path, users_environment):
    def train(*overrides):
        """result.json of a run on the CPU."""
        config = compose([*overrides, "seed=0", "device=cpu", f"run.root={tmp_path}", "dataset.mirrors=[]"])
        with rundir.claim(config) as directory:
            return run(config, directory, Console(file=io.StringIO()), departures(config))

    return train


# Wider than the range of ten seeds each, which was measured.
TWO_EPOCHS = {
    "softmax": {"train_loss": (0.56, 0.58), "test_loss": (0.54, 0.64), "test_accuracy": (0.76, 0.82)},
    "mlp": {"train_loss": (0.58, 0.61), "test_loss": (0.50, 0.85), "test_accuracy": (0.65, 0.83)},
}


@pytest.mark.parametrize("model", TWO_EPOCHS)
def test_two_epochs_come_to_the_book_curve(train, model):
    metrics = train(f"model={model}", "train.epochs=2")["metrics"]
    for name, (low, high) in TWO_EPOCHS[model].items():
        assert low < metrics[name] < high, name


def test_softmax_regression_reproduces_the_book(train):
    result = train("model=softmax")
    assert result["book"]["changed"] == []
    assert result["book"]["inside"], result["metrics"]
