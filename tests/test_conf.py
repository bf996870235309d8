"""Every file under conf/: it composes, its name is in the tables of config.py, and its values are the book's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from d2lrun.compose import compose, departures
from d2lrun.config import DATASETS, MODELS, VARIANTS, Config, conf_dir
from d2lrun.help import headline
from d2lrun.schema import parse, to_dict

OPTIONS = sorted(conf_dir().glob("*/*.yaml"))

# BOOK.md: section, learning rate of SGD, batch size, epochs, side of the images, band of its executed builds.
RECIPES = {
    "softmax": ("3.7", 0.1, 256, 10, None, {"train_loss": [0.446, 0.449], "test_accuracy": [0.797, 0.836]}),
    "mlp": ("4.3", 0.1, 256, 10, None, {"train_loss": [0.377, 0.386], "test_accuracy": [0.769, 0.856]}),
    "lenet": ("6.6", 0.9, 256, 10, None, {"train_loss": [0.454, 0.486], "test_accuracy": [0.752, 0.828]}),
    "alexnet": ("7.1", 0.01, 128, 10, 224, {"train_loss": [0.326, 0.333], "test_accuracy": [0.871, 0.885]}),
    "vgg": ("7.2", 0.05, 128, 10, 224, {"train_loss": [0.171, 0.184], "test_accuracy": [0.907, 0.924]}),
    "nin": ("7.3", 0.1, 128, 10, 224, {"train_loss": [0.328, 2.303], "test_accuracy": [0.1, 0.885]}),
    "googlenet": ("7.4", 0.1, 128, 10, 96, {"train_loss": [0.238, 0.278], "test_accuracy": [0.847, 0.898]}),
    "lenet-bn": ("7.5", 1.0, 256, 10, None, {"train_loss": [0.258, 0.285], "test_accuracy": [0.571, 0.884]}),
    "resnet": ("7.6", 0.05, 256, 10, 96, {"train_loss": [0.009, 0.019], "test_accuracy": [0.814, 0.922]}),
    "densenet": ("7.7", 0.1, 256, 10, 96, {"train_loss": [0.14, 0.158], "test_accuracy": [0.406, 0.909]}),
}
OTHERS = {"torchvision"}  # of no chapter
NETWORKS = {  # how the weights begin, and the arguments
    "softmax": ("normal", {}),
    "mlp": ("normal", {"hidden": [256], "activation": "relu", "dropout": [0.0], "share": False}),
    "lenet": ("xavier", {"activation": "sigmoid", "pool": "avg"}),
    "lenet-bn": ("xavier", {"activation": "sigmoid", "pool": "avg"}),
    "alexnet": ("xavier", {"dropout": 0.5}),
    "vgg": ("xavier", {"depth": 11, "ratio": 4, "dropout": 0.5}),
    "nin": ("xavier", {"dropout": 0.5, "final_relu": True}),
    "googlenet": ("xavier", {"batch_norm": False}),
    "resnet": ("xavier", {"depth": 18}),
    "densenet": ("xavier", {"growth": 32, "blocks": [4, 4, 4, 4]}),
    "torchvision": ("torch", {"arch": "resnet18"}),
}
COMMON = {"std": 0.01, "value": 0.0, "linear": None, "conv": None, "bias": None}
STABLE = {
    "nin": ("model.final_relu=false", "final_relu", False),
    "googlenet": ("model.batch_norm=true", "batch_norm", True),
}


@pytest.fixture(params=OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def option(request) -> Path:
    return request.param


def test_all_files_are_seen():
    assert len(OPTIONS) == 24
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
    assert set(RECIPES) | OTHERS == set(NETWORKS) == set(MODELS)


@pytest.mark.parametrize("model", RECIPES)
def test_a_recipe_is_the_books(model):
    config = compose([f"model={model}"])
    train = config.train
    assert (
        config.book.section,
        config.optimizer.lr,
        train.batch_size,
        train.epochs,
        config.dataset.resize,
        config.book.band,
    ) == RECIPES[model]
    assert (config.optimizer.name, config.optimizer.momentum, config.optimizer.weight_decay) == ("sgd", 0, 0)
    assert (config.schedule.name, config.validation.name, train.clip) == ("constant", "none", None)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_is_the_books(model):
    init, arguments = NETWORKS[model]
    assert to_dict(compose([f"model={model}"]))["model"] == {
        **{"name": model, "init": {"name": init, **COMMON}, "weights": None, "freeze": []},
        **arguments,
    }


@pytest.mark.parametrize("model", OTHERS)
def test_what_is_in_no_chapter_claims_nothing(model):
    assert compose([f"model={model}"]).book is None


@pytest.mark.parametrize("model", MODELS)
def test_every_network_is_given_what_the_book_gives_it(model):
    config = compose([f"model={model}"])
    assert (config.dataset.channels, config.device.precision) == (1, "fp32")


@pytest.mark.parametrize("model", MODELS)
def test_where_the_book_fails_now_and_then_one_override_helps(model):
    stable = compose([f"model={model}"]).recipe.stable
    assert (stable is not None) == (model in STABLE)
    if model in STABLE:
        override, key, value = STABLE[model]
        assert stable == override
        assert departures(compose([f"model={model}", override])) == [f"model.{key}"]
        assert getattr(compose([f"model={model}", override]).model, key) is value


@pytest.mark.parametrize("device", VARIANTS["device"])
def test_the_devices_differ_in_nothing_but_their_name(device):
    options, auto = compose([f"device={device}"]).device, compose([]).device
    assert options == replace(auto, name=device)


def test_the_default_is_the_mlp_on_fashion_mnist():
    config = compose([])
    assert (config.model.name, config.dataset.name, config.seed) == ("mlp", "fashion-mnist", 1)
