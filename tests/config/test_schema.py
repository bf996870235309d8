"""Plain data against the dataclasses of keys.py."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.config.complaints import Complaint
from d2lrun.config.compose import compose
from d2lrun.config.contradictions import is_safe_name
from d2lrun.config.keys import VARIANTS
from d2lrun.config.schema import (
    MOST_UNKNOWN,
    Mismatch,
    convert,
    data_name,
    differing,
    flatten,
    parse,
    selector,
    to_dict,
)
from d2lrun.config.tables import DATASETS
from d2lrun.config.types import FLOAT32_MAX, Between, Count, Fraction, NonNegative, Number, Positive, Probability, Seed
from d2lrun.errors import Refused

PLAIN = to_dict(compose([]))
VGG = to_dict(compose(["model=vgg"]))["model"]
ADAM = {
    **{"name": "adam", "lr": 0.001, "beta1": 0.9, "beta2": 0.999},
    **{"eps": 1e-8, "weight_decay": 0.0, "decay_bias": True, "head_factor": 1.0},
}

COLUMNS = {"group": None, "time": None}  # of a table, to split by


def changed(**values):
    """The default config as plain data, with optimizer__lr=… put at optimizer.lr."""
    data = copy.deepcopy(PLAIN)
    for key, value in values.items():
        *path, last = key.split("__")
        place = data
        for part in path:
            place = place[part]
        place[last] = value
    return data


def refusal(data) -> str:
    with pytest.raises(Refused) as caught:
        parse(data)
    assert caught.value.code == 2
    return str(caught.value)


def test_the_default_config_parses():
    assert to_dict(parse(PLAIN)) == PLAIN


@pytest.mark.parametrize(
    "interval, inside, outside",
    [
        (Positive, [5e-324, 1, 1e38], [0, -1, 1e39, math.inf, math.nan]),
        (NonNegative, [0, 0.0, 3], [-5e-324, math.inf, math.nan]),
        (Fraction, [0.001, 0.999], [0, 1, -0.1, 1.1, math.nan]),
        (Probability, [0, 0.999], [1, 1.5, -0.1, math.nan]),
        (Number, [-1e38, 0, 7], [math.inf, -math.inf, math.nan]),
        (Count, [1, 10**9], [0, -1]),
        (Seed, [0, 2**32 - 1], [-1, 2**32]),
    ],
    ids=["positive", "non-negative", "fraction", "probability", "number", "count", "seed"],
)
def test_the_ends_of_an_interval(interval, inside, outside):
    for value in inside:
        assert convert(interval, value) == value
    for value in outside:
        with pytest.raises(Mismatch):
            convert(interval, value)


@pytest.mark.parametrize(
    "interval, words",
    [
        (Between(1), "at least 1"),
        (Between(0, without=(0,)), "above 0"),
        (Between(0, 1, without=(0, 1)), "above 0 and below 1"),
        (Between(0, 1), "at least 0 and at most 1"),
        (Between(), "that is finite"),
    ],
)
def test_an_interval_in_words(interval, words):
    assert str(interval) == words


@pytest.mark.parametrize(
    "kind, value",
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (float, True),
        (float, "0.1"),
        (float, None),
        (float, 10**400),
        (bool, 1),
        (bool, "true"),
        (str, 1),
        (str, None),
        (list[int], {"a": 1}),
        (list[int], None),
        (list[int], "1"),
        (list[int], [[1]]),
        (str, "\ud800"),
        (str, "a\0b"),
        (list[int], [1, None]),
        (int | None, "null"),
        (Count, False),
        (Literal[1, 2], True),
        (Literal[1, 2], 1.0),
        (dict[str, float], [1]),
        (dict[str, float], {"a": "b"}),
    ],
)
def test_no_type_is_bent(kind, value):
    with pytest.raises(Mismatch):
        convert(kind, value)


@pytest.mark.parametrize(
    "kind, value, wanted",
    [
        *[
            (float, 3, 3.0),
            (int | None, None, None),
            (int | None, 3, 3),
            (list[Count], [], []),
            (list[float], [1], [1.0]),
        ],
        *[(list[Count], 3, [3]), (list[float], 1, [1.0]), (list[str], "a", ["a"])],
    ],
)
def test_what_fits_is_taken(kind, value, wanted):
    got = convert(kind, value)
    assert (got, type(got)) == (wanted, type(wanted))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"optimizer__lr": -1}, "optimizer.lr=-1: wanted a number above 0"),
        ({"optimizer__lr": math.nan}, "optimizer.lr=nan: wanted a number above 0"),
        ({"optimizer__lr": "big"}, "optimizer.lr=big: wanted a number above 0"),
        ({"train__batch_size": 0}, "train.batch_size=0: wanted a whole number at least 1"),
        ({"train__epochs": 2.5}, "train.epochs=2.5: wanted a whole number at least 1"),
        ({"train__epochs": None}, "train.epochs=null: wanted a whole number at least 1"),
        ({"train__clip": 0}, "train.clip=0: wanted a number above 0, or null"),
        ({"optimizer__nesterov": "yes"}, "optimizer.nesterov=yes: wanted true or false"),
        ({"dataset__verify": None}, "dataset.verify=null: wanted true or false"),
        ({"run__name": 3}, "run.name=3: wanted text, or null"),
        ({"model__hidden": "256"}, "model.hidden=256: wanted a list of values, each a whole number at least 1"),
        ({"model__hidden": [256, 0]}, "model.hidden=[256, 0]: wanted a whole number at least 1"),
        ({"model__dropout": [1.5]}, "model.dropout=[1.5]: wanted a number at least 0 and below 1"),
        (
            {"model__init__name": "zeros"},
            "model.init.name=zeros: wanted one of normal, xavier, kaiming, constant, torch",
        ),
        (
            {"model__init__conv": "zeros"},
            "model.init.conv=zeros: wanted one of normal, xavier, kaiming, constant, torch",
        ),
        ({"model__init__bias": math.inf}, "model.init.bias=inf: wanted a number that is finite, or null"),
        ({"model__share": 1}, "model.share=1: wanted true or false"),
        ({"model__freeze": 0.5}, "model.freeze=0.5: wanted a list of values, each text"),
        ({"model__weights": 3}, "model.weights=3: wanted text, or null"),
        ({"model": {**VGG, "depth": 12}}, "model.depth=12: wanted one of 11, 13, 16, 19"),
        ({"model": {**VGG, "ratio": 4.0}}, "model.ratio=4.0: wanted one of 1, 2, 4, 8, 16"),
        ({"dataset__resize": 0}, "dataset.resize=0: wanted a whole number at least 1 and at most 1024, or null"),
        ({"dataset__resize": 1025}, "dataset.resize=1025: wanted a whole number at least 1 and at most 1024, or null"),
        ({"dataset__channels": 2}, "dataset.channels=2: wanted one of 1, 3"),
        ({"dataset__channels": True}, "dataset.channels=true: wanted one of 1, 3"),
        ({"device__precision": "fp64"}, "device.precision=fp64: wanted one of fp32, tf32, bf16, fp16"),
        ({"device__compile": "yes"}, "device.compile=yes: wanted true or false"),
        ({"device__deterministic": None}, "device.deterministic=null: wanted true or false"),
        ({"device__threads": 0}, "device.threads=0: wanted a whole number at least 1 and at most 1024, or null"),
        ({"train": 3}, "train=3: wanted a group of keys: epochs, batch_size"),
        ({"model": None}, "model=null: no such option"),
        ({"optimizer__name": "nadam"}, "optimizer=nadam: no such option; did you mean adam? (have: sgd, adam, adamw)"),
        ({"train__epoch": 3}, "train.epoch: no such key; did you mean train.epochs?"),
        ({"lr": 3}, "lr: no such key; did you mean optimizer.lr?"),
        ({"model__lr": 3}, "model.lr: no such key; did you mean optimizer.lr?"),
        ({"model___target_": "os.system"}, "model._target_: no such key"),
    ],
)
def test_a_complaint_names_key_value_and_wanted(values, message):
    assert refusal(changed(**values)).startswith(message)


@pytest.mark.parametrize("key", sorted(flatten(PLAIN)))
def test_every_missing_key_is_missed(key):
    data = copy.deepcopy(PLAIN)
    *path, last = key.split(".")
    place = data
    for part in path:
        place = place[part]
    del place[last]
    group = path == ["dataset"] or path == ["model"] or len(path) == 1
    selects = "engine" if path == ["sweep"] else "name"
    if last == selects and group and path[0] not in ("run", "book"):
        assert "no such option" in refusal(data)
    elif path[:2] in (["recipe", "lr"], ["book", "band"]):
        parse(data)  # a mapping: any of its keys may be absent
    else:
        assert refusal(data) == f"{key}: missing"


def test_all_complaints_come_at_once():
    message = refusal(changed(optimizer__lr=-1, train__batch_size=0, seed="x", trian=3))
    head, *rows = message.splitlines()
    assert head == "4 problems in the configuration"
    assert {row.split(":")[0].split("=")[0].strip() for row in rows} == {
        "optimizer.lr",
        "train.batch_size",
        "seed",
        "trian",
    }


def test_complaints_from_elsewhere_are_told_too():
    with pytest.raises(Refused, match=r"(?s)2 problems.*x: bad.*seed=-1"):
        parse(changed(seed=-1), [Complaint("x", "bad")])


@pytest.mark.parametrize("data", [None, [], "text", 3, {}])
def test_what_is_no_config_is_refused(data):
    assert refusal(data)


def test_a_long_value_is_cut_in_the_complaint():
    assert len(refusal(changed(seed="x" * 10_000))) < 200


@pytest.mark.parametrize(
    "values, given, wanted",
    [
        ({"train__patience": 3}, "train.patience=3", "add validation=holdout"),
        ({"optimizer__nesterov": True}, "optimizer.nesterov=true", "optimizer.momentum above 0"),
        ({"schedule__warmup": 11.0}, "schedule.warmup=11", "wanted at most train.epochs=10"),
        ({"model__dropout": [0.1, 0.2]}, "model.dropout=[0.1, 0.2]", "one for each of model.hidden=[256]"),
        ({"model__dropout": []}, "model.dropout=[]", "one value"),
        ({"run__name": "../x"}, "run.name='../x'", "names a folder"),
    ],
)
def test_values_that_contradict_each_other(values, given, wanted):
    message = refusal(changed(**values))
    assert message.startswith(given) and wanted in message


@pytest.mark.parametrize(
    "values",
    [
        {"train__patience": 3, "validation": {"name": "holdout", "fraction": 0.1, "stratify": True, **COLUMNS}},
        {"optimizer__nesterov": True, "optimizer__momentum": 0.9},
        {"schedule__warmup": 10},
        {"model__hidden": [8, 9], "model__dropout": [0.1, 0.2]},
        {"model__hidden": [8, 9], "model__dropout": [0.1]},
        {"model__hidden": []},
        {"run__name": "lr-0.5_a"},
        {"optimizer": ADAM},
        {"book": None},
    ],
)
def test_values_that_go_together(values):
    parse(changed(**values))


@given(k=st.integers(2, 9), fold=st.integers(0, 10))
def test_folds_are_counted_from_0_to_k_minus_1(k, fold):
    options = {"shuffle": True, "stratify": True, "repeats": 1, "refit": False, **COLUMNS}
    data = changed(validation={"name": "kfold", "k": k, "fold": fold, **options})
    if fold < k:
        assert parse(data).validation.fold == fold
    else:
        assert refusal(data) == f"validation.fold={fold}: wanted 0 to {k - 1}, for validation.k={k}"


@given(st.integers(-(2**1023) + 1, 2**1023 - 1))
def test_a_whole_number_of_any_size_is_a_float(value):
    got = convert(float, value)
    assert (got, type(got)) == (float(value), float)


def test_a_large_whole_number_is_a_learning_rate():
    assert compose(["optimizer.lr=5000"]).optimizer.lr == 5000.0


@pytest.mark.parametrize("group", VARIANTS)
@pytest.mark.parametrize("name", [[1], {}, 1, None, True], ids=str)
def test_an_option_has_a_name_that_is_text(group, name):
    message = refusal(changed(**{f"{group}__{selector(group)}": name}))
    assert message.startswith(f"{group}={'null' if name is None else str(name).lower()}: ")


@pytest.mark.parametrize(
    "name", ["a", "A-1_b.c", "9lives", "学习率", "x" * 80, "-x", "a b", "c:", "100%", "$x^2$", "图" * 66]
)
def test_a_safe_name(name):
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name",
    [
        *["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "a\nb", "[/red]", ".x", "x.", " x", "x ", "x" * 81, "a\0"],
        *["图" * 67, "a\u202eb", "a\u200bb", "a\u2028b", "a\x9bb", "\ufeff", "\ud800", "\u3000"],
    ],
)
def test_an_unsafe_name(name):
    assert not is_safe_name(name)


@given(
    seed=st.integers(0, 2**32 - 1),
    hidden=st.lists(st.integers(1, 10**6), max_size=4),
    drop=st.floats(0, 1, exclude_max=True),
    lr=st.floats(0, FLOAT32_MAX, exclude_min=True),
    clip=st.none() | st.floats(1e-9, 1e9),
    epochs=st.integers(1, 10**6),
    dir=st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60),
)
def test_the_round_trip_changes_nothing(seed, hidden, drop, lr, clip, epochs, dir):
    config = parse(
        changed(
            **{"seed": seed, "model__hidden": hidden, "model__dropout": [drop], "optimizer__lr": lr},
            **{"train__clip": clip, "train__epochs": epochs, "run__dir": dir},
        )
    )
    assert parse(to_dict(config)) == config
    assert (config.seed, config.model.hidden, config.optimizer.lr, config.run.dir) == (seed, hidden, lr, dir)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_anywhere_is_taken_or_refused(value):
    for key in ("seed", "optimizer", "optimizer__lr", "model__hidden", "model__init__name", "run__dir", "book"):
        try:
            parse(changed(**{key: value}))
        except Refused as refused:
            assert key.split("__")[0] in str(refused)


def test_flatten_joins_the_keys():
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_differing_lists_exactly_the_changed_keys():
    other = parse(changed(seed=7, optimizer__lr=0.2, model__init__std=0.5))
    assert differing(parse(PLAIN), other) == ["seed", "model.init.std", "optimizer.lr"]


def test_differing_ignores_the_circumstances():
    other = parse(
        changed(
            **{"run__dir": "x", "run__name": "y", "dataset__dir": "z", "dataset__mirrors": []},
            train__checkpoint_every=1,
        )
    )
    assert differing(parse(PLAIN), other) == []


def test_differing_sees_another_variant_whole():
    other = parse(changed(optimizer=ADAM))
    assert set(differing(parse(PLAIN), other)) == {
        *("optimizer.name", "optimizer.lr", "optimizer.momentum", "optimizer.nesterov"),
        *("optimizer.beta1", "optimizer.beta2", "optimizer.eps"),
    }


@pytest.mark.parametrize(
    "words, held, taken",
    [
        (["model=mlp", "dataset=pydoc"], "text", "images"),
        (["model=lenet", "dataset=timemachine"], "text", "images"),
        (["model=ngram", "dataset=fashion-mnist"], "images", "text"),
        (["model=lenet", "dataset=house-prices"], "rows of a table", "images"),
        (["model=linear", "dataset=fashion-mnist"], "images", "rows of a table"),
    ],
)
def test_a_network_that_does_not_take_what_the_dataset_holds_is_refused_at_the_door(words, held, taken):
    with pytest.raises(Refused, match=f"the dataset holds {held}, the network takes {taken}"):
        compose(words)


@pytest.mark.parametrize("weights, fits", [([1.0], True), ([1.0, 2.0], False), ([1.0, 2.0, 3.0], True)])
def test_true_weights_are_one_for_all_inputs_or_one_for_each(weights, fits):
    words = ["model=linear", "dataset.inputs=3", f"dataset.weights={weights}"]
    if fits:
        assert compose(words).dataset.weights == weights
    else:
        with pytest.raises(Refused, match=r"dataset\.weights=.*: wanted one .* each of dataset\.inputs=3; got 2"):
            compose(words)


FOLDERS = {
    "~/kmnist": "kmnist",
    "data/emnist letters/": "emnist-letters",
    "KMNIST/raw": "KMNIST",
    "one/../two": "two",
    "/": "fashion-mnist",
    "数据": "数据",
    ".hidden": "hidden",
}


@pytest.mark.parametrize(("folder", "name"), FOLDERS.items())
def test_data_of_ones_own_are_called_like_their_folder(folder, name):
    dataset = compose(["dataset.verify=false"]).dataset
    dataset.dir = folder
    assert data_name(dataset) == name


OWN = {
    "csv": {"a/patients.csv": "patients", "v1.2": "v1.2", "Ta belle.v2.tsv": "Ta-belle.v2"},
    "folder": {"pets/": "pets", "raw": None, ".": None, "/": "folder"},
    "text": {"[红楼梦.txt]": "红楼梦", "[a/one.txt,two.md]": "one-two"},
    "labelled-text": {"[pos.txt,neg.txt]": "pos-neg"},
}


@pytest.mark.parametrize(("kind", "path", "name"), [(kind, *each) for kind in OWN for each in OWN[kind].items()])
def test_data_of_ones_own_are_called_like_their_files(kind, path, name, tmp_path, monkeypatch):
    (tmp_path / "cats").mkdir()
    monkeypatch.chdir(tmp_path / "cats")
    assert data_name(compose([f"dataset={kind}", f"dataset.path={path}", *fitting(kind)]).dataset) == (name or "cats")


def fitting(kind):
    """The words for a network that takes a kind of data."""
    return {"csv": ["model=linear"], "text": ["model=rnn"], "labelled-text": ["model=bag-of-words"]}.get(kind, [])


def test_every_dataset_with_a_path_is_called_like_its_file():
    kinds = [name for name, entry in DATASETS.items() if "path" in entry.arguments]
    assert len(kinds) >= 9
    for name in kinds:
        assert data_name(SimpleNamespace(name=name, path="/x/mine.tsv")) == "mine"
        assert data_name(SimpleNamespace(name=name, path=None)) == name


@settings(deadline=None)
@given(st.text(min_size=1), st.booleans())
def test_the_name_of_data_is_one_folder(text, own):
    keys = {"path": [text.replace("\0", "")]} if own else {"verify": False, "dir": text.replace("\0", "")}
    name = data_name(SimpleNamespace(name="text" if own else "fashion-mnist", **keys))
    assert name and "/" not in name and name[0] not in ".-" and len(name.encode()) <= 240


@pytest.mark.parametrize("words", [[], ["dataset.dir=x"], ["dataset=polynomial"], ["model=rnn"]])
def test_verified_data_have_the_name_of_the_dataset(words):
    dataset = compose(words).dataset
    assert data_name(dataset) == dataset.name


def test_of_thousands_of_unknown_keys_the_first_are_named():
    with pytest.raises(Refused) as refused:
        parse({f"k{number}": number for number in range(5000)})
    unknown = [str(each) for each in refused.value.complaints if "no such key" in str(each)]
    assert len(unknown) == MOST_UNKNOWN + 1
    assert unknown[-1] == "k20: no such key, nor are 4,979 others after it"
