from __future__ import annotations

import copy
import platform

import pytest
import torch
from torch import nn

from d2lrun import __version__
from d2lrun.config.compose import compose
from d2lrun.runs.result import advice_at_chance, compare_with_book, describe, final_metrics, notes, versions
from d2lrun.tasks.classification.task import Classification
from d2lrun.tasks.language_model.task import LanguageModel
from d2lrun.training import devices
from d2lrun.training.fit import State

TASK = Classification(10)

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
def state(config):
    model = nn.Linear(4, 3)
    scaler = devices.scaler(torch.device("cpu"), config.device)
    optimizer = torch.optim.SGD(model.parameters())
    return State(model, optimizer, scaler, torch.zeros(2), step=10, records=copy.deepcopy(RECORDS))


DATA = {"content": "c", "parts": {"train": {"count": 5, "of": 5}, "test": {"count": 2, "of": 9}}}


def test_a_part_that_was_not_measured_whole_is_noted(config, state):
    config.train.limit_batches = 3
    result = describe(config, state, TASK, "finished", [], DATA)
    assert result["data"] == DATA
    assert result["notes"] == ["test: measured on the first 2 of 9 examples (train.limit_batches=3)"]


def test_a_model_that_reads_what_it_predicts_is_noted(config, state):
    for seen in (True, False):
        found = notes(config, LanguageModel(8, True, sees_targets=seen), {"parts": {}})
        assert any("reads the tokens that it predicts" in note for note in found) == seen


def test_the_contract(config, state):
    result = describe(config, state, TASK, "finished", [], DATA)
    assert {key: result[key] for key in ("status", "model", "dataset", "seed", "parameters", "epochs", "steps")} == {
        **{"status": "finished", "model": "softmax", "dataset": "fashion-mnist", "seed": 7},
        **{"parameters": 15, "epochs": 2, "steps": 10},
    }
    assert result["seconds"] == 4
    assert result["selected_epoch"] == 2
    assert result["device"] == "cpu"
    assert set(result) == {
        *("status", "model", "dataset", "seed", "parameters", "epochs", "selected_epoch", "steps", "seconds"),
        *("metrics", "book", "dead", "device", "precision", "channels_last", "compile", "deterministic", "threads"),
        *("versions", "config_hash", "data", "notes"),
    }


def test_how_it_was_computed_is_what_the_config_says(state):
    words = ["precision=bf16", "channels_last=false", "compile=true", "deterministic=true"]
    config = compose(["model=softmax", *(f"device.{word}" for word in words)])
    result = describe(config, state, TASK, "finished", [], DATA)
    assert {key: result[key] for key in ("precision", "channels_last", "compile", "deterministic", "threads")} == {
        **{"precision": "bf16", "channels_last": False, "compile": True, "deterministic": True},
        **{"threads": torch.get_num_threads()},
    }


def test_a_run_that_learns_is_not_dead(config, state):
    assert describe(config, state, TASK, "finished", [], DATA)["dead"] is None


@pytest.mark.parametrize("status", ["finished", "stopped", "diverged"])
def test_a_run_at_chance_is_dead_with_its_epoch_and_a_hint(config, state, status):
    state.records += [{**RECORDS[1], "train_accuracy": 0.1}] * 2
    dead = describe(config, state, TASK, status, [], DATA)["dead"]
    assert dead == {"epoch": 4, "hint": advice_at_chance(config)}


@pytest.mark.parametrize(
    "words, hint",
    [
        (["model=nin"], "this recipe fails in some runs: try model.final_relu=false, or another seed"),
        (["model=googlenet"], "this recipe fails in some runs: try model.batch_norm=true, or another seed"),
        (["model=lenet"], "try another optimizer.lr than 0.9, another model.init.name, or another seed"),
        (
            ["model=resnet", "optimizer=adam"],
            "try another optimizer.lr than 0.001, another model.init.name, or another seed",
        ),
    ],
)
def test_what_revives_a_run_is_its_own_recipes_advice(words, hint):
    assert advice_at_chance(compose(words)) == hint


@pytest.mark.parametrize("model", ["nin", "googlenet"])
def test_what_is_advised_is_a_config_that_differs(model):
    recipe = compose([f"model={model}"])
    assert compose([f"model={model}", recipe.recipe.stable]).model != recipe.model


def test_who_took_the_advice_is_not_given_it_again():
    config = compose(["model=nin", "model.final_relu=false"])
    assert "final_relu" not in advice_at_chance(config)


def test_the_versions_are_those_that_run():
    assert versions() == {"d2lrun": __version__, "torch": torch.__version__, "python": platform.python_version()}


def test_the_metrics_are_those_of_the_last_epoch(config, state):
    metrics = describe(config, state, TASK, "finished", [], DATA)["metrics"]
    assert metrics.pop("examples_per_second") == (300 * 1 + 100 * 3) / 4
    assert metrics == {"train_loss": 0.447, "train_accuracy": 0.85, "test_loss": 0.5, "test_accuracy": 0.82}


def test_with_a_best_epoch_the_metrics_are_its(config, state):
    state.best = {"epoch": 1, "val_loss": 0.6, "model": {}}
    result = describe(config, state, TASK, "finished", [], DATA)
    assert (result["selected_epoch"], result["epochs"], result["metrics"]["train_loss"]) == (1, 2, 0.8)


def test_before_the_first_epoch_there_are_no_metrics(config, state):
    state.records = []
    assert describe(config, state, TASK, "stopped", [], DATA)["metrics"] == final_metrics([], 0) == {}


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
    book = compare_with_book(config, metrics, changed)
    assert book == {"section": "3.7", "band": config.book.band, "inside": inside, "changed": changed}


def test_without_a_book_there_is_nothing_to_compare(config):
    config = copy.deepcopy(config)
    config.book = None
    assert compare_with_book(config, INSIDE, []) is None
