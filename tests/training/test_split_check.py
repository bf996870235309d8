"""Splits that cannot be trained or measured are refused before the first step, with a value that works."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as unhurried
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, KFold, NoValidation, Once
from d2lrun.datasets.fashion_mnist import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.language_model.stream import SAMPLINGS, TextDataset, needed
from d2lrun.tasks.tabular.table import TableDataset
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training.split_check import NAMED, rare, seed_of


def split(config, data, seed):
    """The split of any dataset."""
    return data.split(config, seed)


NAMES = tuple("abcdefgh")
seeds = st.integers(0, 2**32 - 1)
labels = st.one_of(
    st.lists(st.integers(0, 7), min_size=1, max_size=60),
    st.lists(st.integers(0, 7), min_size=1, max_size=60).map(sorted),
    st.lists(st.integers(1, 9), min_size=1, max_size=8).map(
        lambda counts: [k for k, n in enumerate(counts) for _ in range(n)]
    ),
)
fractions = st.one_of(st.floats(1e-7, 1, exclude_max=True), st.sampled_from([1e-7, 0.01, 0.1, 0.5, 0.9, 0.97, 0.999]))
holdouts = st.builds(Holdout, st.just("holdout"), fractions, st.booleans())
folds = st.builds(
    KFold,
    st.just("kfold"),
    st.integers(2, 40),
    st.none(),
    st.booleans(),
    st.booleans(),
    st.integers(1, 2),
    st.just(False),
)


@dataclass
class Settings:
    """What the check reads of a config."""

    validation: object
    seed: int = 0
    batch_size: int = 1
    name: str = "mlp"  # of the model

    @property
    def train(self):
        return self

    @property
    def model(self):
        return self


def images(labels):
    """Black images with these labels."""
    labels = torch.tensor(labels)
    black = torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8)
    return ImageDataset("black", NAMES, black, labels, black[:1], labels[:1], "made")


def rows(count):
    numbers = torch.arange(count, dtype=torch.float32)[:, None]
    return TableDataset("rows", numbers, numbers, numbers[:1], None, "made", ())


def text(count, steps, sampling):
    tokens = torch.zeros(count, dtype=torch.int32)
    return TextDataset("t", Vocabulary(["<unk>"]), tokens, "here", "char", "none", steps=steps, sampling=sampling)


def splits(settings, data):
    """Every split that the settings stand for: one, or that of each fold of each repetition."""
    validation = settings.validation
    if validation.name != "kfold":
        return [split(validation, data, settings.seed)]
    return [
        split(replace(validation, fold=fold), data, seed_of(settings, repeat))
        for repeat in range(validation.repeats)
        for fold in range(validation.k)
    ]


def usable(settings, data):
    """Whether every part has an example, and every training part all classes; the rule in its plainest form."""
    if settings.validation.name == "kfold" and settings.validation.k > len(data.strata):
        return False
    wanted = set(data.strata.tolist())
    for parts in splits(settings, data):
        if (parts.val is not None and not len(parts.val.index)) or {*data.strata[parts.train.index].tolist()} != wanted:
            return False
    return True


def refusal(settings, data):
    """The refusal; None if there is none."""
    try:
        data.check_split(settings)
    except Refused as refused:
        return refused
    return None


def advised(settings, hint):
    """The settings after the first advice of the hint; None if it names no value."""
    first = hint.partition("; or")[0].partition(", or")[0]
    words = dict(re.findall(r"\b((?:validation|train)\.?\w*)=(\S+)", first))
    if not words:
        return None
    validation = settings.validation
    group = {"holdout": Holdout("holdout", 0.1, True), "once": Once("once")}
    validation = group.get(words.pop("validation", ""), validation)
    kinds = {"fraction": float, "k": int, "shuffle": "true".__eq__, "stratify": "true".__eq__}
    size = int(words.pop("train.batch_size", settings.batch_size))
    changes = {key.removeprefix("validation."): value for key, value in words.items()}
    validation = replace(validation, **{key: kinds[key](value) for key, value in changes.items()})
    return replace(settings, validation=validation, batch_size=size)


# --- images and tables -----------------------------------------------------------------------------------------------


@unhurried(deadline=None)
@given(labels, st.one_of(holdouts, folds), seeds)
def test_refused_is_exactly_what_lacks_an_example_or_a_class(labels, validation, seed):
    settings, data = Settings(validation, seed), images(labels)
    assert (refusal(settings, data) is None) == usable(settings, data)


@unhurried(deadline=None)
@given(labels, st.one_of(holdouts, folds), seeds)
def test_the_value_that_a_refusal_names_is_accepted(labels, validation, seed):
    settings, data = Settings(validation, seed), images(labels)
    refused = refusal(settings, data)
    assume(refused is not None)
    if (better := advised(settings, refused.hint)) is not None:
        assert better != settings
        assert refusal(better, data) is None and usable(better, data)


@unhurried(deadline=None)
@given(labels, fractions, seeds)
def test_a_stratified_holdout_has_a_fraction_that_works_if_a_class_has_two_examples(labels, fraction, seed):
    settings, data = Settings(Holdout("holdout", fraction, True), seed), images(labels)
    refused = refusal(settings, data)
    assume(refused is not None)
    assert (advised(settings, refused.hint) is not None) == (data.strata.bincount().max() > 1)


@unhurried(deadline=None)
@given(st.integers(1, 60), st.one_of(holdouts, folds), seeds)
def test_rows_of_a_table_are_one_class(count, validation, seed):
    settings, data = Settings(validation, seed), rows(count)
    refused = refusal(settings, data)
    assert (refused is None) == usable(settings, data)
    if refused is not None and (better := advised(settings, refused.hint)):
        assert refusal(better, data) is None


FORTY = [label for label in range(8) for _ in range(5)]


@pytest.mark.parametrize(
    "labels, validation, message, hint",
    [
        (
            FORTY,
            Holdout("holdout", 0.05, True),
            "validation.fraction=0.05 of 40 examples leaves none to validate: each of 8 classes keeps its share",
            "validation.fraction=0.11",
        ),
        (
            [0, 0, 0, 0, 1],
            Holdout("holdout", 0.8, True),
            "validation.fraction=0.8 of 5 examples leaves no example of class b to train",
            "validation.fraction=0.5",
        ),
        (
            FORTY,
            KFold("kfold", 8, None, False, True, 1, False),
            "fold 0 of 8 would train on no example of class a: it validates all",
            "validation.shuffle=true",
        ),
        (
            [0] * 10 + [1],
            KFold("kfold", 5, None, True, True, 1, False),
            "fold 0 of 5 would train on no example of class b: it validates all",
            "validation=holdout validation.fraction=0.1, or two examples of every class at least",
        ),
        (
            FORTY,
            KFold("kfold", 99999999, None, True, True, 1, False),
            "validation.k=99999999: more folds than examples to train with (40)",
            "validation.k=40",
        ),
    ],
)
def test_what_is_refused_is_told_in_words(labels, validation, message, hint):
    refused = refusal(Settings(validation), images(labels))
    assert (str(refused), refused.hint) == (message, hint)


@pytest.mark.parametrize("fraction, hint", [(0.0003, "0.00035"), (1e-7, "0.00035"), (0.9997, "0.99965")])
def test_house_prices_have_fractions_that_work(fraction, hint):
    refused = refusal(Settings(Holdout("holdout", fraction, True)), rows(1460))
    assert refused.hint == f"validation.fraction={hint}"


@given(st.lists(st.integers(0, 3), min_size=1), st.integers(2, 9))
def test_classes_that_some_folds_cannot_validate_are_named(labels, folds):
    line = rare(torch.tensor(labels), ("a", "b", "c", "d"), folds)
    few = [name for k, name in enumerate("abcd") if labels.count(k) < folds]
    assert (line is None) == (few == [])
    if line:
        assert re.findall(r"\b[a-d]\b", line.partition(": ")[2]) == few[:NAMED]


def test_contiguous_folds_of_a_table_stay_as_the_book_has_them():
    settings = Settings(KFold("kfold", 5, None, False, True, 1, False))
    assert refusal(settings, rows(1460)) is None
    assert [parts.val.index.tolist() for parts in splits(settings, rows(1460))] == [
        list(range(292 * fold, 292 * (fold + 1))) for fold in range(5)
    ]


# --- texts -----------------------------------------------------------------------------------------------------------

texts = st.builds(text, st.integers(1, 150), st.integers(1, 12), st.sampled_from(SAMPLINGS))
ways = st.one_of(
    st.sampled_from([NoValidation("none"), Once("once")]),
    st.builds(Holdout, st.just("holdout"), fractions, st.just(True)),
    st.builds(KFold, *map(st.just, ("kfold",)), st.integers(2, 12), *map(st.just, (None, True, True, 1, False))),
)


def long_enough(settings, data):
    """Whether each part of each split has a window, and a batch from every offset to train."""
    try:
        parts = splits(settings, data)
    except Refused:
        return False
    return all(len(each.train.tokens) >= needed(settings.batch_size, data.steps, data.sampling) for each in parts)


@unhurried(deadline=None)
@given(texts, ways, st.integers(1, 8), seeds)
def test_a_text_is_refused_if_a_part_of_a_fold_is_too_short(data, validation, size, seed):
    settings = Settings(validation, seed, size)
    assert (refusal(settings, data) is None) == long_enough(settings, data)


@unhurried(deadline=None)
@given(texts, ways, st.integers(1, 8), seeds)
def test_the_value_that_a_refused_text_is_given_is_accepted(data, validation, size, seed):
    settings = Settings(validation, seed, size)
    refused = refusal(settings, data)
    assume(refused is not None and "dataset.steps" not in refused.hint.partition("; or")[0])
    if (better := advised(settings, refused.hint)) is not None:
        assert refusal(better, data) is None and long_enough(better, data)


def test_counting_n_grams_needs_no_batch():
    data = text(60, 10, "sequential")
    assert refusal(Settings(NoValidation("none"), batch_size=32, name="ngram"), data) is None
    assert refusal(Settings(NoValidation("none"), batch_size=32), data) is not None


@unhurried(deadline=None)
@given(st.integers(900, 1300), st.sampled_from(SAMPLINGS))
def test_a_text_that_trains_in_one_epoch_trains_in_all(count, sampling):
    data = text(count, 35, sampling)
    settings = Settings(NoValidation("none"), batch_size=32)
    if refusal(settings, data) is None:
        part = split(settings.validation, data, 0).train
        assert all(part.shuffled(32, seed, epoch) for seed in range(4) for epoch in range(30))
    else:
        assert count < needed(32, 35, sampling)


# --- at the door -----------------------------------------------------------------------------------------------------

TRAINED = ("metrics.jsonl", "*.safetensors", "step-*")


@pytest.fixture
def sorted_folder(tmp_path):
    """40 + 10 images in the order of their ten classes."""
    folder = tmp_path / "sorted"
    folder.mkdir()
    for images, labels, count in ((TRAIN_IMAGES, TRAIN_LABELS, 40), (TEST_IMAGES, TEST_LABELS, 10)):
        (folder / images).write_bytes(struct.pack(">HBB3I", 0, 8, 3, count, 28, 28) + bytes(count * 784))
        each = bytes(at * 10 // count for at in range(count))
        (folder / labels).write_bytes(struct.pack(">HBBI", 0, 8, 1, count) + each)
    return folder


@pytest.fixture
def refused(d2lrun, sorted_folder, tmp_path):
    """``refused(WORD…)``: what a command that trains nothing says."""

    def refused(*words):
        outcome = d2lrun(*words, "model=softmax", "dataset.verify=false", f"dataset.dir={sorted_folder}", "device=cpu")
        assert outcome.code == 2
        assert not [path for name in TRAINED for path in tmp_path.rglob(name)]
        return outcome.err

    return refused


@pytest.mark.parametrize(
    "words, message, hint",
    [
        (["validation=holdout"], "fraction=0.1 of 40 examples leaves none to validate", "validation.fraction=0.13"),
        (["validation=holdout", "validation.fraction=1e-7"], "leaves none to validate", "validation.fraction=0.13"),
        (
            ["validation=holdout", "validation.fraction=0.97"],
            "leaves no example of 10 classes",
            "validation.fraction=0.87",
        ),
        (["validation=kfold", "validation.k=999999"], "train with (40)", "validation.k=40"),
        (
            ["validation=kfold", "validation.k=10", "validation.shuffle=false"],
            "class 0",
            "validation.shuffle=true",
        ),
        (["-m", "validation=holdout", "seed=1,2"], "leaves none to validate", "validation.fraction=0.13"),
        (
            ["-m", "sweep=optuna", "validation=kfold", "validation.k=999999", "optimizer.lr=interval(0.1,1)"],
            "train with (40)",
            "validation.k=40",
        ),
        (
            ["-m", "validation=kfold", "validation.k=10", "validation.shuffle=false", "validation.fold=range(0,10)"],
            "fold 0 of 10 would train on no example of class 0",
            "validation.shuffle=true",
        ),
    ],
)
def test_what_cannot_be_split_is_refused_before_anything_trains(refused, words, message, hint):
    said = refused(*words)
    assert message in said and f"hint: {hint}" in said


def test_the_cost_of_a_split_that_cannot_be_trained_is_not_measured(refused):
    assert "leaves none to validate" in refused("cost", "validation=holdout")


def test_a_text_that_is_a_little_too_short_is_refused_whatever_the_seed(d2lrun, tmp_path):
    (tmp_path / "short.txt").write_text("abcdefghij" * 115, encoding="utf-8")
    for seed in range(3):
        words = ["model=rnn", "dataset=text", "dataset.path=[short.txt]", "device=cpu", f"seed={seed}"]
        outcome = d2lrun(*words, "dataset.steps=35", "train.batch_size=32")
        assert outcome.code == 2
        assert "1,150 tokens, too few for a batch of 32 rows of 35: wanted 1,15" in outcome.err
    assert not [path for name in TRAINED for path in tmp_path.rglob(name)]
