"""Every file under conf/: it composes, its name is in the tables, and its values are the book's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from d2lrun import models
from d2lrun.cli.help import headline
from d2lrun.config.compose import compose, departures, reader
from d2lrun.config.keys import VARIANTS, Config, conf_dir
from d2lrun.config.schema import parse, to_dict
from d2lrun.config.tables import DATASETS, MODELS, fits
from d2lrun.models.inputs import Pairs, Stream

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
# Section, learning rate of SGD, rows of a batch, steps, epochs, tokens, band of the perplexity.
TEXTS = {
    "rnn": ("8.6", 1.0, 32, 35, 500, 10_000, [1.15, 1.45]),
    "gru": ("9.1", 1.0, 32, 35, 500, 10_000, [0.95, 1.35]),
    "lstm": ("9.2", 1.0, 32, 35, 500, 10_000, [0.95, 1.25]),
}
# Network, parameters, learning rate of SGD, sampling, section and band of the perplexity.
EXPERIMENTS = {
    "rnn-scratch": ("rnn", 291_356, 1.0, "sequential", "8.5", [0.95, 1.25]),
    "rnn-scratch-random": ("rnn", 291_356, 1.0, "random", "8.5", [1.15, 1.65]),
    "gru-scratch": ("gru", 226_076, 1.0, "sequential", "9.1", [0.95, 1.35]),
    "lstm-scratch": ("lstm", 299_036, 1.0, "sequential", "9.2", [1.05, 1.45]),
    "deep-rnn": ("lstm", 826_396, 2.0, "sequential", "9.3", [0.95, 1.65]),
    "bi-rnn": ("lstm", 2_177_052, 1.0, "sequential", "9.4", [1.05, 1.25]),
}
# Terms of the polynomial, epochs, band of the losses.
POLYNOMIALS = {
    "polynomial-normal": (4, 400, {"train_loss": [0.0, 0.77], "test_loss": [0.0, 1.7]}),
    "polynomial-underfit": (2, 400, {"train_loss": [1.4, 50.0], "test_loss": [2.4, 55.0]}),
    "polynomial-overfit": (20, 1500, {"test_loss": [0.0, 0.43]}),
}
DECAYS = {"weight-decay": (3.0, [0.3365, 0.7195]), "weight-decay-off": (0.0, [11.35, 15.15])}  # λ, band of ‖w‖
CLASSICS = sorted({*POLYNOMIALS, *DECAYS, "dropout", "house-prices", "sine"})
# Parameters, section, epochs, and band of the loss as the book prints it.
TRANSLATIONS = {
    "seq2seq": (47_369, "9.7", 300, [0.0175, 0.0205]),
    "bahdanau": (49_449, "10.4", 250, [0.0185, 0.0215]),
    "transformer": (60_937, "10.7", 200, [0.0295, 0.0335]),
}
REVIEWS = ("reviews-bag", "reviews-gru", "reviews-lstm", "reviews-textcnn")
OURS = (  # experiments of no chapter
    *("amount-of-data", "arithmetic", "capacity", "people-daily", "restore", "sine-gru", "sine-linear", "sine-tau"),
    *("translation", "whole-book", "whole-book-transformer", *REVIEWS),
)
OTHERS = {  # of no chapter, or of several
    *("torchvision", "ngram", "linear", "seq2seq", "transformer", "bag-of-words", "textcnn"),
}
KERNEL = {"nadaraya-watson"}  # a regression of one parameter
RECURRENT = {
    **{"hidden": 256, "layers": 1, "bidirectional": False, "dropout": 0.0, "impl": "torch"},
    **{"embedding": None, "tied": False},
}
NETWORKS = {  # how the weights begin, and the arguments
    "softmax": ("normal", {}),
    "mlp": ("normal", {"hidden": [256], "activation": "relu", "dropout": [0.0], "share": False}),
    "lenet": ("xavier", {"activation": "sigmoid", "pool": "avg"}),
    "lenet-bn": ("xavier", {"activation": "sigmoid", "pool": "avg"}),
    "alexnet": ("xavier", {"dropout": 0.5}),
    "vgg": ("xavier", {"depth": 11, "ratio": 4, "dropout": 0.5}),
    "nin": ("xavier", {"dropout": 0.5, "final_relu": True}),
    "googlenet": ("xavier", {"batch_norm": False}),
    "resnet": ("xavier", {"depth": 18, "stem": "7x7"}),
    "densenet": ("xavier", {"growth": 32, "blocks": [4, 4, 4, 4]}),
    "torchvision": ("torch", {"arch": "resnet18", "pretrained": False}),
    "rnn": ("torch", RECURRENT),
    "gru": ("torch", {**RECURRENT, "reset_after": False}),
    "lstm": ("torch", RECURRENT),
    "linear": ("torch", {"bias": True}),
    "nadaraya-watson": ("torch", {}),
    "transformer": (
        "xavier",
        {
            **{"width": 128, "layers": 3, "heads": 4, "feedforward": 512, "dropout": 0.1},
            **{"norm": "pre", "impl": "torch", "context": 64, "position": "own"},
        },
    ),
    "seq2seq": (
        "xavier",
        {
            **{"embedding": 32, "hidden": 32, "layers": 2, "bidirectional": False, "dropout": 0.1},
            **{"attention": "none", "context": "encoder", "padding": "skip"},
        },
    ),
    "bag-of-words": ("torch", {}),
    "textcnn": (
        "torch",
        {"embedding": 100, "kernels": [3, 4, 5], "channels": 100, "pool": "max", "dropout": 0.5},
    ),
    "ngram": ("torch", {"order": 6, "smoothing": "kneser-ney", "strength": [1.0]}),
}
COMMON = {"std": 0.01, "value": 0.0, "linear": None, "conv": None, "recurrent": None, "bias": None, "bias_std": None}
STABLE = {
    "nin": ("model.final_relu=false", "final_relu", False),
    "googlenet": ("model.batch_norm=true", "batch_norm", True),
}


@pytest.fixture(params=OPTIONS, ids=lambda path: f"{path.parent.name}={path.stem}")
def option(request) -> Path:
    return request.param


def test_all_files_are_seen():
    assert len(OPTIONS) >= 55
    assert sorted(conf_dir().rglob("*")) == sorted(
        [conf_dir() / "config.yaml", *OPTIONS, *{path.parent for path in OPTIONS}]
    )


def test_an_option_composes_and_survives_the_round_trip(option):
    reading = reader([f"dataset={option.stem}"]) if option.parent.name == "dataset" else []
    config = compose([*reading, f"{option.parent.name}={option.stem}"])
    assert isinstance(config, Config)
    if option.parent.name == "experiment":
        assert config.recipe.experiment == option.stem
    else:
        group = getattr(config, option.parent.name)
        assert getattr(group, "engine" if option.parent.name == "sweep" else "name") == option.stem
    assert parse(to_dict(config)) == config


def test_an_option_has_a_line_for_help(option):
    assert 5 <= len(headline(option)) <= 100


@pytest.mark.parametrize("group", VARIANTS)
def test_the_options_are_those_of_the_table(group):
    assert {path.stem for path in OPTIONS if path.parent.name == group} == set(VARIANTS[group])


def test_every_group_has_a_table():
    assert {path.parent.name for path in OPTIONS} == {*VARIANTS, "experiment"}  # which chooses among all the others
    assert set(VARIANTS["model"]) == set(MODELS)
    assert set(VARIANTS["dataset"]) == set(DATASETS)


def test_every_model_has_its_recipe_here():
    assert set(RECIPES) | set(TEXTS) | KERNEL | OTHERS == set(NETWORKS) == set(MODELS)


def test_every_experiment_is_here():
    assert {path.stem for path in OPTIONS if path.parent.name == "experiment"} == {
        *EXPERIMENTS,
        *CLASSICS,
        *TRANSLATIONS,
        *OURS,
        "augmentation",
        "fine-tuning",
        "fine-tuning-off",
    }


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


@pytest.mark.parametrize("model", TEXTS)
def test_a_recipe_for_text_is_the_books(model):
    config = compose([f"model={model}"])
    train, dataset = config.train, config.dataset
    assert (config.book.section, config.optimizer.lr, train.batch_size, dataset.steps, train.epochs) == (
        TEXTS[model][:5]
    )
    assert (dataset.max_tokens, config.book.band) == (TEXTS[model][5], {"train_perplexity": TEXTS[model][6]})
    assert is_the_books_training(config)


def is_the_books_training(config):
    """The characters of The Time Machine, plain SGD, a gradient no longer than 1, nothing held out."""
    dataset, optimizer = config.dataset, config.optimizer
    return (
        (dataset.name, dataset.kind, dataset.rule, dataset.min_freq) == ("timemachine", "char", "letters", 1)
        and (optimizer.name, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0, 0)
        and (config.schedule.name, config.validation.name, config.train.clip) == ("constant", "none", 1.0)
    )


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_is_the_books(experiment):
    config = compose([f"experiment={experiment}"])
    model, parameters, lr, sampling, section, band = EXPERIMENTS[experiment]
    assert (config.model.name, config.optimizer.lr, config.dataset.sampling) == (model, lr, sampling)
    assert (config.book.section, config.book.band) == (section, {"train_perplexity": band})
    assert (config.train.batch_size, config.dataset.steps, config.train.epochs) == (32, 35, 500)
    assert config.dataset.max_tokens == 10_000 and is_the_books_training(config)
    assert sum(one.numel() for one in models.build(config.model, Stream(35), 28).parameters()) == parameters


def test_augmentation_is_the_books():
    config = compose(["experiment=augmentation"])
    model, data, train = config.model, config.dataset, config.train
    assert (model.name, model.depth, model.stem, model.init.name) == ("resnet", 18, "3x3", "xavier")
    assert (data.name, data.resize, data.normalise) == ("cifar10", None, "none")
    changes = {key: value for key, value in to_dict(config)["augment"].items() if value}
    assert changes == {"name": "flip", "flip": True}
    assert (config.optimizer.name, config.optimizer.lr, train.batch_size, train.epochs) == ("adam", 0.001, 256, 10)
    assert config.book.section == "13.1" and is_plain(config)
    assert config.book.band == {"train_loss": [0.163, 0.185], "test_accuracy": [0.785, 0.852]}
    assert sum(one.numel() for one in models.build(model, (3, 32, 32), 10).parameters()) == 11_176_970


def is_plain(config):
    """No momentum, no clipping, nothing held out, a constant learning rate."""
    return (getattr(config.optimizer, "momentum", 0), config.train.clip, config.schedule.name) == (0, None, "constant")


@pytest.mark.parametrize("experiment", POLYNOMIALS)
def test_a_polynomial_is_the_books(experiment):
    config = compose([f"experiment={experiment}"])
    data = config.dataset
    assert (data.degree, config.train.epochs, config.book.band) == POLYNOMIALS[experiment]
    assert (data.coefficients, data.n_train, data.n_test, data.noise) == ([5.0, 1.2, -3.4, 5.6], 100, 100, 0.1)
    assert (config.model.name, config.model.bias, config.model.init.name) == ("linear", False, "torch")
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.weight_decay) == ("sgd", 0.01, 0)
    assert (config.train.batch_size, config.book.section, is_plain(config)) == (10, "4.4", True)


@pytest.mark.parametrize("experiment", DECAYS)
def test_the_weight_decay_is_the_books(experiment):
    config = compose([f"experiment={experiment}"])
    data, optimizer, init = config.dataset, config.optimizer, config.model.init
    assert (optimizer.weight_decay, config.book.band["weight_norm"]) == DECAYS[experiment]
    assert (data.name, data.inputs, data.weights, data.bias) == ("linear", 200, [0.01], 0.05)
    assert (data.n_train, data.n_test, data.noise) == (20, 100, 0.01)
    assert (init.name, init.std, init.bias_std, config.model.bias) == ("normal", 1.0, 1.0, True)
    assert (optimizer.name, optimizer.lr, optimizer.decay_bias) == ("sgd", 0.003, False)
    assert (config.train.batch_size, config.train.epochs, config.book.section) == (5, 100, "4.5")
    assert is_plain(config)


def test_the_dropout_is_the_books():
    config = compose(["experiment=dropout"])
    model = config.model
    assert (model.name, model.hidden, model.dropout, model.init.name) == ("mlp", [256, 256], [0.2, 0.5], "normal")
    assert (config.optimizer.lr, config.train.batch_size, config.train.epochs) == (0.5, 256, 10)
    assert config.book.band == {"train_loss": [0.338, 0.364], "test_accuracy": [0.796, 0.872]}
    assert sum(one.numel() for one in models.build(model, (1, 28, 28), 10).parameters()) == 269_322
    assert (config.book.section, is_plain(config)) == ("4.6", True)


def test_the_house_prices_are_the_books():
    config = compose(["experiment=house-prices"])
    assert (config.model.name, config.model.bias, config.model.init.name) == ("linear", True, "torch")
    assert (config.dataset.name, config.dataset.fit) == ("house-prices", "all")
    assert (config.optimizer.name, config.optimizer.lr, config.optimizer.weight_decay) == ("adam", 5.0, 0)
    assert (config.train.batch_size, config.train.epochs, config.book.section) == (64, 100, "4.10")
    assert sum(one.numel() for one in models.build(config.model, (331,), 1).parameters()) == 332
    assert is_plain(config)


@pytest.mark.parametrize("experiment", TRANSLATIONS)
def test_a_translation_is_the_books(experiment):
    config = compose([f"experiment={experiment}"])
    parameters, section, epochs, band = TRANSLATIONS[experiment]
    data, model = config.dataset, config.model
    assert (data.max_pairs, data.steps, data.batches, data.loss) == (601, 10, "fixed", "book")
    assert (data.min_freq, data.held_out, config.validation.name, config.schedule.name) == (
        2,
        False,
        "none",
        "constant",
    )
    assert (config.optimizer.name, config.optimizer.lr, config.train.clip) == ("adam", 0.005, 1.0)
    assert (config.train.batch_size, config.train.epochs, config.book.section) == (64, epochs, section)
    assert config.book.band == {"train_book_loss": band}
    as_coded = {"seq2seq": {"context": "state", "padding": "read"}, "bahdanau": {"padding": "read"}}
    for key, value in as_coded.get(experiment, {"position": "first"}).items():  # the book's code departs from its text
        assert getattr(model, key) == value
    assert sum(one.numel() for one in models.build(model, Pairs(184, 10), 201).parameters()) == parameters


def test_the_sine_is_the_books():
    config = compose(["experiment=sine"])
    data, model = config.dataset, config.model
    assert (model.name, model.hidden, model.activation, model.init.name) == ("mlp", [10], "relu", "xavier")
    assert (data.frequency, data.noise, data.tau, data.n_train - data.tau, data.n_train + data.n_test) == (
        *(0.01, 0.2, 4),
        *(600, 1000),
    )
    assert (data.normalise, config.optimizer.name, config.optimizer.lr) == ("none", "adam", 0.01)
    assert (config.train.batch_size, config.train.epochs, config.validation.name) == (16, 5, "none")
    assert (config.book.section, config.book.band) == ("8.1", {"train_loss": [0.0465, 0.0605]})
    assert sum(one.numel() for one in models.build(model, (4,), 1).parameters()) == 61
    assert is_plain(config)


@pytest.mark.parametrize("experiment", CLASSICS)
def test_other_seeds_of_the_rows_are_still_the_book(experiment):
    """Its builds were never seeded."""
    made = [] if experiment in ("dropout", "house-prices") else ["dataset.seed=7"]
    assert departures(compose([f"experiment={experiment}", "seed=7", *made])) == []


@pytest.mark.parametrize(
    "experiment",
    sorted({*EXPERIMENTS, *CLASSICS, *TRANSLATIONS, *OURS, "augmentation", "fine-tuning", "fine-tuning-off"}),
)
def test_an_experiment_departs_from_itself_in_nothing_but_what_is_overridden(experiment):
    assert departures(compose([f"experiment={experiment}"])) == []
    assert departures(compose([f"experiment={experiment}", "train.epochs=11"])) == ["train.epochs"]


@pytest.mark.parametrize("experiment", OURS)
def test_an_experiment_of_no_chapter_claims_nothing(experiment):
    assert compose([f"experiment={experiment}"]).book is None


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_is_the_books(model):
    init, arguments = NETWORKS[model]
    assert to_dict(compose([f"model={model}"]))["model"] == {
        **{"name": model, "init": {"name": init, **COMMON}, "weights": None, "freeze": []},
        **arguments,
    }


@pytest.mark.parametrize("name, lr, factor", [("fine-tuning", 5e-5, 10), ("fine-tuning-off", 5e-4, 1)])
def test_fine_tuning_is_the_books(name, lr, factor):
    """The book adds the losses of a batch of 128: its learning rate is that of the mean by 128."""
    config = compose([f"experiment={name}"])
    optimizer, data, train = config.optimizer, config.dataset, config.train
    assert (config.model.arch, config.model.pretrained) == ("resnet18", factor == 10)
    assert (data.size, data.resize, data.normalise) == (224, None, "imagenet")
    assert (config.augment.flip, config.augment.crop > 0) == (True, True)
    assert (optimizer.name, optimizer.lr, optimizer.head_factor) == ("sgd", pytest.approx(lr * 128), factor)
    assert optimizer.weight_decay == pytest.approx(0.001 / 128)
    assert (train.batch_size, train.epochs) == (128, 5) and is_plain(config)
    model = models.build(replace(config.model, arch="resnet18"), (3, 224, 224), 2)
    assert sum(one.numel() for one in model.parameters()) == 11_177_538


@pytest.mark.parametrize("model", sorted(OTHERS))
def test_what_is_in_no_chapter_claims_nothing(model):
    assert compose([f"model={model}"]).book is None


@pytest.mark.parametrize("model", MODELS)
def test_every_network_is_given_what_the_book_gives_it(model):
    config = compose([f"model={model}"])
    assert getattr(config.dataset, "channels", 1) == 1  # where it holds images
    assert fits(model, config.dataset.name)
    assert config.device.precision == "fp32"


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
