from __future__ import annotations

import copy
import platform

import pytest
import torch
from torch import nn

from d2lrun import __version__
from d2lrun.compose import compose
from d2lrun.fit import State
from d2lrun.result import beside_book, describe, final_metrics, versions

RECORDS = [
    {
        **{"epoch": 1, "step": 5, "lr": 0.1, "seconds": 1.0, "examples_per_second": 300.0},
        **{"train_loss": 0.8, "train_accuracy": 0.7, "test_loss": 0.6, "test_accuracy": 0.8},
    },
    {
        **{"epoch": 2, "step": 10, "lr": 0.1, "seconds": 3.0, "examples_per_second": 100.0},
        **{"train_loss": 0.447, "train_accuracy": 0.85, "test_loss": 0.5, "test_accuracy": 0.82},
    },
]
INSIDE = {"train_loss": 0.447, "test_accuracy": 0.82}


@pytest.fixture(scope="module")
def config():
    return compose(["model=softmax", "seed=7"])


@pytest.fixture
def state():
    model = nn.Linear(4, 3)
    state = State(model, torch.optim.SGD(model.parameters()), torch.zeros(2), step=10, records=copy.deepcopy(RECORDS))
    return state


def test_the_contract(config, state):
    result = describe(config, state, "finished", [])
    assert {key: result[key] for key in ("status", "model", "dataset", "seed", "parameters", "epochs", "steps")} == {
        **{"status": "finished", "model": "softmax", "dataset": "fashion-mnist", "seed": 7},
        **{"parameters": 15, "epochs": 2, "steps": 10},
    }
    assert result["seconds"] == 4
    assert result["selected_epoch"] == 2
    assert result["device"] == "cpu"
    assert set(result) >= {"metrics", "book", "versions", "config_hash", "threads"}


def test_the_versions_are_those_that_run():
    assert versions() == {"d2lrun": __version__, "torch": torch.__version__, "python": platform.python_version()}


def test_the_metrics_are_those_of_the_last_epoch(config, state):
    metrics = describe(config, state, "finished", [])["metrics"]
    assert metrics.pop("examples_per_second") == (300 * 1 + 100 * 3) / 4
    assert metrics == {"train_loss": 0.447, "train_accuracy": 0.85, "test_loss": 0.5, "test_accuracy": 0.82}


def test_with_a_best_epoch_the_metrics_are_its(config, state):
    state.best = {"epoch": 1, "val_loss": 0.6, "model": {}}
    result = describe(config, state, "finished", [])
    assert (result["selected_epoch"], result["epochs"], result["metrics"]["train_loss"]) == (1, 2, 0.8)


def test_before_the_first_epoch_there_are_no_metrics(config, state):
    state.records = []
    assert describe(config, state, "stopped", [])["metrics"] == final_metrics([], 0) == {}


@pytest.mark.parametrize(
    "metrics, changed, inside",
    [
        (INSIDE, [], True),
        (INSIDE | {"train_loss": 0.446}, [], True),
        (INSIDE | {"train_loss": 0.4459}, [], False),
        (INSIDE | {"test_accuracy": 0.9}, [], False),
        (INSIDE | {"train_loss": float("nan")}, [], False),
        (INSIDE, ["train.epochs"], None),
        (INSIDE, None, None),
        ({"train_loss": 0.447}, [], None),
        ({}, [], None),
    ],
)
def test_inside_the_band_of_the_book(config, metrics, changed, inside):
    book = beside_book(config, metrics, changed)
    assert book == {"section": "3.7", "band": config.book.band, "inside": inside, "changed": changed}


def test_without_a_book_there_is_nothing_to_compare(config):
    config = copy.deepcopy(config)
    config.book = None
    assert beside_book(config, INSIDE, []) is None
