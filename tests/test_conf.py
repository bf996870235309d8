"""Every file under conf/: it composes, its name is in the tables of config.py, and its values are the book's."""

from __future__ import annotations

from pathlib import Path

import pytest

from d2lrun.compose import compose
from d2lrun.config import DATASETS, MODELS, VARIANTS, Config, conf_dir
from d2lrun.help import headline
from d2lrun.schema import parse, to_dict

OPTIONS = sorted(conf_dir().glob("*/*.yaml"))

# BOOK.md: section, learning rate of SGD, batch size, epochs, and the band of its executed builds.
RECIPES = {
    "softmax": ("3.7", 0.1, 256, 10, {"train_loss": [0.446, 0.449], "test_accuracy": [0.797, 0.836]}),
    "mlp": ("4.3", 0.1, 256, 10, {"train_loss": [0.377, 0.386], "test_accuracy": [0.769, 0.856]}),
    "lenet": ("6.6", 0.9, 256, 10, {"train_loss": [0.454, 0.486], "test_accuracy": [0.752, 0.828]}),
}
NETWORKS = {
    "softmax": {"init": {"name": "normal", "std": 0.01, "value": 0.0}},
    "mlp": {
        **{"hidden": [256], "activation": "relu", "dropout": [0.0]},
        "init": {"name": "normal", "std": 0.01, "value": 0.0},
    },
    "lenet": {"activation": "sigmoid", "pool": "avg", "init": {"name": "xavier", "std": 0.01, "value": 0.0}},
}


@pytest.fixture(params=OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def option(request) -> Path:
    return request.param


def test_all_files_are_seen():
    assert len(OPTIONS) == 16
    assert sorted(conf_dir().rglob("*")) == sorted(
        [conf_dir() / "config.yaml", *OPTIONS, *{path.parent for path in OPTIONS}]
    )


def test_an_option_composes_and_survives_the_round_trip(option):
    config = compose([f"{option.parent.name}={option.stem}"])
    assert isinstance(config, Config)
    assert getattr(config, option.parent.name).name == option.stem
    assert parse(to_dict(config)) == config


def test_an_option_has_a_line_for_help(option):
    assert 5 <= len(headline(option)) <= 100


@pytest.mark.parametrize("group", VARIANTS)
def test_the_options_are_those_of_the_table(group):
    assert {path.stem for path in OPTIONS if path.parent.name == group} == set(VARIANTS[group])


def test_every_group_has_a_table():
    assert {path.parent.name for path in OPTIONS} == set(VARIANTS)
    assert set(VARIANTS["model"]) == set(MODELS)
    assert set(VARIANTS["dataset"]) == set(DATASETS)


def test_every_model_has_its_recipe_here():
    assert set(RECIPES) == set(NETWORKS) == set(MODELS)


@pytest.mark.parametrize("model", RECIPES)
def test_a_recipe_is_the_books(model):
    config = compose([f"model={model}"])
    train = config.train
    assert (
        config.book.section,
        config.optimizer.lr,
        train.batch_size,
        train.epochs,
        config.book.band,
    ) == RECIPES[model]
    assert (config.optimizer.name, config.optimizer.momentum, config.optimizer.weight_decay) == ("sgd", 0, 0)
    assert (config.schedule.name, config.validation.name, train.clip) == ("constant", "none", None)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_is_the_books(model):
    assert to_dict(compose([f"model={model}"]))["model"] == {"name": model, **NETWORKS[model]}


def test_the_default_is_the_mlp_on_fashion_mnist():
    config = compose([])
    assert (config.model.name, config.dataset.name, config.seed) == ("mlp", "fashion-mnist", 1)
