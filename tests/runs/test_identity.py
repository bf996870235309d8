"""What a run is trained and measured on: which keys change it, and what follows for ranking and continuing."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from d2lrun import datasets
from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.config.keys import VARIANTS
from d2lrun.config.tables import DATASETS, MODELS, fits
from d2lrun.datasets import house_prices
from d2lrun.disk import locate
from d2lrun.disk.download import Found, Unavailable
from d2lrun.disk.files import sha256
from d2lrun.disk.rundir import RunDirectory, config_hash
from d2lrun.errors import OtherData, Refused
from d2lrun.report import likeness
from d2lrun.runs import identity

TABLE = Path(__file__).parents[2] / "docs" / "data-keys.md"
HEAD = """\
# Which keys change the data

A run records fingerprints of what it is trained and measured on. This table says for every key whether another value
changes the examples or tokens that train, those that a metric of validation or of the test set is measured on, or
neither. `tests/test_identity.py` finds it by trying, and fails if it is not what stands here.

Rows that differ in a key of the second column are shown and not ranked. Runs that differ in `dataset.dir` or
`dataset.path` alone are the same if the content there is the same. The table is made with `train.limit_batches=2`;
without it `train.batch_size`, and `dataset.steps` of a text, change nothing.

| key | trains | measured | with |
|---|---|---|---|
"""
TEXT = "the quick brown fox jumps over the lazy dog\nand runs away; nobody knows why, nobody asks\n"
GROUPS = ("optimizer", "schedule", "device", "validation", "sweep")


@pytest.fixture
def place(tmp_path, monkeypatch, stripes_folder):
    """A folder with two texts, two folders of images, and house prices of which no price is real."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("a.txt", TEXT * 40), ("b.txt", TEXT[::-1] * 40)):
        Path(name).write_text(text)
        rows = [f"{word} {place % 7}\t{word} {place % 3}\n" for place, word in enumerate(text.split()[:60])]
        Path(name).with_suffix(".tsv").write_text("".join(rows))
    for name, most in (("a.csv", 40), ("b.csv", 41)):
        Path(name).write_text("".join(f"{number % 7},{number}\n" for number in range(most)))
    for name, text in (("c.tsv", TEXT), ("d.tsv", TEXT[::-1])):
        rows = [f"{line} {n}\t{n % 2}\t{n % 3}\n" for n in range(20) for line in text.split("\n") if line]
        Path(name).write_text("".join(rows))
    for name, step in (("t.csv", 1), ("u.csv", 2)):  # tables of two classes
        rows = [f"{n},{n * n % 7},{'pq'[n % 3 > 0]},{n * step % 11}.5,{'ab'[n % 2]}\n" for n in range(40)]
        Path(name).write_text("Id,size,town,price,kind\n" + "".join(rows))
    words = TEXT.split() * 3
    for name, step in (("a.conll", 1), ("b.conll", -1)):  # sentences of 1 to 6 words, each word with two tags
        rows = [f"{word} {'XY'[n % 2]} {len(word)}\n" + "\n" * (n % 7 > n % 3) for n, word in enumerate(words[::step])]
        Path(name).write_text("".join(rows))
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    for name, step in (("pets", 1), ("wild", 2)):  # folders of pictures, eight of each of two classes
        for number in range(16):
            picture = Path(name, "ab"[number % 2], f"{number}.png")
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (6, 5), (13 * number, 7 * step, 200)).save(picture)
    shutil.copytree(stripes_folder, "images")
    shutil.copytree(stripes_folder, "others")
    labels = bytearray(Path("others/train-labels-idx1-ubyte").read_bytes())
    for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"):
        labels = bytearray(Path("others", name).read_bytes())
        labels[-9:] = bytes(9)
        Path("others", name).write_bytes(labels)
    rows = [["Id", "Area", "Street", "SalePrice"]]
    rows += [[str(n), str(50 + n), "ab"[n % 2], str(1000 * n + 1)] for n in range(1, 41)]
    train = "\n".join(",".join(row) for row in rows).encode()
    test = "\n".join(",".join(row[:3]) for row in rows[:20]).encode()
    found = {house_prices.TRAIN: train, house_prices.TEST: test}
    files = {name: Found(content, name, sha256(content)) for name, content in found.items()}
    monkeypatch.setattr(house_prices, "locate", lambda *arguments: files)
    monkeypatch.setattr(locate, "fetch", no_mirror)
    monkeypatch.setattr(datasets, "_last", None)
    return tmp_path


def no_mirror(*arguments):
    """No mirror is asked for the datasets that are downloaded."""
    raise Unavailable([])


LABELLED = ("dataset.path=[c.tsv]", "dataset.test=[d.tsv]")
BASES = {
    "fashion-mnist": ["model=softmax", "dataset=fashion-mnist", "dataset.verify=false", "dataset.dir=images"],
    "text": ["model=rnn", "dataset=text", "dataset.path=[a.txt]", "dataset.min_freq=1", "train.batch_size=4"],
    "pydoc": ["model=rnn", "dataset=pydoc"],
    "tagged-text": ["model=lstm", "dataset=tagged-text", "dataset.path=[a.conll]", "dataset.test=a.conll"],
    "polynomial": ["model=linear", "dataset=polynomial"],
    "linear": ["model=linear", "dataset=linear"],
    "house-prices": ["model=linear", "dataset=house-prices"],
    "csv": ["model=linear", "dataset=csv", "dataset.path=t.csv", "dataset.test=t.csv", "dataset.target=kind"],
    "sine": ["model=linear", "dataset=sine"],
    "series": ["model=linear", "dataset=series", "dataset.path=[a.csv]", "dataset.column=1"],
    "pairs": ["model=seq2seq", "dataset=pairs", "dataset.path=[a.tsv]", "dataset.steps=9", "optimizer=sgd"],
    "arithmetic": [
        *("model=seq2seq", "dataset=arithmetic", "optimizer=sgd"),
        *("dataset.digits=1", "dataset.n_train=20", "dataset.n_test=10"),
    ],
    "folder": ["model=softmax", "dataset=folder", "dataset.path=pets", "dataset.size=4"],
    "arrays": ["model=softmax", "dataset=arrays", "dataset.path=a.npz"],
    "labelled-text": ["model=bag-of-words", "optimizer=sgd", "dataset=labelled-text", *LABELLED],
}
TRIED = (
    "fashion-mnist",
    "folder",
    "text",
    "polynomial",
    "linear",
    "house-prices",
    "csv",
    "sine",
    "series",
    "pairs",
    "arithmetic",
    "tagged-text",
    "labelled-text",
)  # the others have the keys of these
QUICK = ["train.limit_batches=2", "train.batch_size=3", "optimizer.momentum=0.5"]
ANOTHER = {  # for keys of which another value is not easily guessed
    "dataset.dir": ["others"],
    "dataset.text": [3],
    "dataset.label": [3],
    "dataset.path": [["b.txt"], ["b.tsv"], ["b.conll"], ["d.tsv"], "wild", "u.csv"],
    "dataset.size": [5],
    "dataset.test_fraction": [0.5],
    "dataset.encoding": ["utf-16", "gb18030"],
    "dataset.column": ["2"],
    "validation.group": ["price"],
    "validation.time": ["size"],
    "dataset.target": ["price"],
    "dataset.categories": [["size"]],
    "dataset.drop": [["size"]],
    "dataset.id": ["size"],
    "dataset.group": ["size"],
    "dataset.task": ["classification", "regression"],
    "dataset.time": ["2"],
    "dataset.test": ["b.conll", None, ["c.tsv"], "u.csv"],
    "dataset.tag": [2],
    "dataset.token": [2],
    "dataset.mirrors": [[]],
    "dataset.verify": [True],
    "dataset.max_tokens": [900],
    "dataset.min_freq": [50],
    "dataset.reserved": [["<pad>"]],
    "dataset.weights": [[0.5]],
    "dataset.operators": [["-"]],
    "dataset.steps": [3, 71, 1],
    "dataset.max_pairs": [40],
    "dataset.coefficients": [[1.0, 2.0]],
    "dataset.resize": [14],
    "validation.fold": [1],
    "model.freeze": [["1.*"]],
    "sweep.metric": ["val_loss"],
    "model.order": [3],
}


def leaves(config) -> dict[str, Any]:
    """Every key of a config that a user may set, with its value."""
    flat = schema.flatten(schema.to_dict(config))
    return {key: flat[key] for key in flat if not key.startswith(("recipe.", "book")) and not is_name(key)}


def is_name(key: str) -> bool:
    """Whether the key says which option of its group it is; those are tried as a whole."""
    group, _, name = key.partition(".")
    return group in VARIANTS and name in ("name", "engine") and (group, name) != ("sweep", "name")


def is_group(key: str) -> bool:
    """Whether it holds other keys, or names the option of its group."""
    return is_name(key) or (any(other.startswith(f"{key}.") for other in schema.all_keys()) and key not in VARIANTS)


def kind_of(config, key: str) -> Any:
    """The type of a key, as the schema has it."""
    *groups, last = key.split(".")
    for group in groups:
        config = getattr(config, group)
    return schema.keys_of(type(config))[last]


def others(kind: Any, key: str, value: Any) -> list[Any]:
    """A few other values that a key may have."""
    if key in ANOTHER:
        return ANOTHER[key]
    if isinstance(value, bool):
        return [not value]
    for arm in schema.arms(kind):
        if get_origin(arm) is Literal:
            return [one for one in get_args(arm) if one != value]
    if isinstance(value, (int, float)):
        return [value * 2 + 1, value / 2 if isinstance(value, float) else value + 1]
    if isinstance(value, list):
        return [[*value, *value[:1]]]
    return [3, 0.5, "x", {}]  # of what may be null: the first that is allowed


def changed(config, key: str, value: Any):
    """The config with another value; None if it is not allowed."""
    data = schema.to_dict(config)
    group = data
    *path, last = key.split(".")
    for part in path:
        group = group[part]
    group[last] = value
    try:
        return schema.parse(data)
    except Refused:
        return None


def read(config) -> tuple[Any, Any] | None:
    """Fingerprints of what trains, and of what each metric is measured on; None if the data cannot be read so."""
    try:
        found = identity.of(config)
    except Refused:
        return None
    measured = {name: each for name, each in found["measured"].items() if not name.startswith("train_")}
    return found["parts"]["train"]["fingerprint"], measured


def watched(config) -> tuple[tuple[Any, Any] | None, set[str]]:
    """What ``read`` returns, and the keys and groups that it looks at: another value of no other key can change it."""
    found: set[str] = set()
    groups, names = [config], {id(config): ""}  # of each group the start of its keys
    for group in groups:
        inner = {name: value for name, value in vars(group).items() if is_dataclass(value)}
        names |= {id(value): f"{names[id(group)]}{name}." for name, value in inner.items()}
        groups += inner.values()

    def look(self, name, original=object.__getattribute__):
        if id(self) in names and name not in ("__class__", "__dataclass_fields__"):
            looked_at = original(self, "__dict__") if name.startswith("__") else [name]  # asked as a whole, or a key
            found.update(f"{names[id(self)]}{each}" for each in looked_at)
        return original(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "_fitted", None)  # a dataset that is fitted already looks at less
        for kind in {*map(type, groups)}:
            patch.setattr(kind, "__getattribute__", look)
        return read(config), found


def effects() -> dict[str, tuple[set[str], set[str], set[str]]]:
    """For every key the datasets with which it changes what trains, what is measured, and with which it was tried."""
    found: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for name in TRIED:
        unsplit = compose([*BASES[name], *QUICK, "validation=none"])
        for validation in ("none", "holdout", "kfold"):
            base = chosen(unsplit, "validation", validation)
            plain = watched(base)
            ways = [(plain, key, changes(base, key, value)) for key, value in leaves(base).items()]
            ways += [(plain, group, choices(base, group)) for group in VARIANTS]
            if validation == "holdout":
                ways += [way for group in VARIANTS if group != "dataset" for way in keys_of_options(base, group)]
            for (before, looked_at), key, configs in ways:
                trains, measures, tried = found.setdefault(key, (set(), set(), set()))
                if key not in looked_at:
                    tried |= {name} if name in tried or any(configs) else set()
                    continue
                for now in filter(None, map(read, filter(None, configs))):
                    tried.add(name)
                    trains |= {name} if now[0] != before[0] else set()
                    measures |= {name} if now[1] != before[1] else set()
    return found


def keys_of_options(base, group: str) -> Iterator[tuple[Any, str, Iterator[Any]]]:
    """The keys of every other option of a group, such as those of Adam."""
    for config in choices(base, group):
        if (before := watched(config))[0] is not None:
            for key, value in leaves(config).items():
                if key.startswith(f"{group}."):
                    yield before, key, changes(config, key, value)


def changes(base, key: str, value: Any) -> Iterator[Any]:
    """The config with other values of a key, each as far as it is allowed."""
    return (changed(base, key, other) for other in others(kind_of(base, key), key, value))


def choices(base, group: str) -> Iterator[Any]:
    """The config with every other option of a group that goes with the rest."""
    key = "engine" if group == "sweep" else "name"
    for option in VARIANTS[group]:
        names = {"model": base.model.name, "dataset": base.dataset.name, group: option}
        if option != getattr(getattr(base, group), key) and fits(names["model"], names["dataset"]):
            with contextlib.suppress(Refused):
                yield chosen(base, group, option)


def chosen(config, group: str, option: str):
    """The config with an option of a group as conf/ has it; raises Refused."""
    return schema.parse(schema.to_dict(config) | {group: parts()[group, option]})


@cache
def parts() -> dict[tuple[str, str], dict[str, Any]]:
    """The keys of each option as conf/ has them. Hydra is slow, so options of all groups are composed together."""
    pairs: list[tuple[str, str]] = []  # of a dataset and a network that takes it, until each is in one
    for dataset in DATASETS:
        used = [model for _, model in pairs]
        pairs.append((dataset, min((model for model in MODELS if fits(model, dataset)), key=used.count)))
    alone = [model for model in MODELS if model not in dict(map(reversed, pairs))]
    pairs += [(next(dataset for dataset in DATASETS if fits(model, dataset)), model) for model in alone]
    found = {}
    for place, (dataset, model) in enumerate(pairs):
        words = {group: [*options][place] for group, options in VARIANTS.items() if place < len(options)}
        words |= {"dataset": dataset, "model": model}
        data = schema.to_dict(compose([f"{group}={option}" for group, option in words.items()]))
        found |= {(group, option): data[group] for group, option in words.items()}
    return found


def table(found: dict[str, tuple[set[str], set[str], set[str]]]) -> str:
    rows = []
    for key, (trains, measures, tried) in sorted(found.items()):
        affected = sorted(trains | measures)
        with_ = "" if not affected else "every dataset that has it" if set(affected) == tried else ", ".join(affected)
        rows.append(f"| `{key}` | {'yes' if trains else ''} | {'yes' if measures else ''} | {with_} |\n")
    return HEAD + "".join(rows)


def test_the_table_of_keys_is_the_one_in_the_docs(place):
    found = effects()
    never = {key for key, (_, _, tried) in found.items() if not tried}
    assert never == {
        "dataset.verify",  # true refuses files that are not the published ones
        "model.pretrained",  # true needs another dataset.normalise
    }
    assert {*schema.all_keys()} - set(found) == {
        "sweep.grid",  # a mapping, empty by default
        *(key for key in schema.all_keys() if is_group(key)),
    }
    assert table(found) == TABLE.read_text(encoding="utf-8")


# --- pairs ---------------------------------------------------------------------------------------------------------

HELD = "validation=holdout"
TEXTS = BASES["labelled-text"]
IMAGES, ROWS, WORDS = (BASES[name] for name in ("fashion-mnist", "linear", "text"))
CURVE, HOUSES, SINE, SERIES = (BASES[name] for name in ("polynomial", "house-prices", "sine", "series"))
TAGS = BASES["tagged-text"]

# Each: what both have, what one has, what the other has; and the metric, the first of validation if none is named.
UNLIKE = [
    ([*WORDS, HELD], ["dataset.path=[a.txt]"], ["dataset.path=[b.txt]"]),
    ([*WORDS, HELD], ["dataset.path=[a.txt]"], ["dataset.path=[a.txt,b.txt]"]),
    ([*WORDS, HELD, "train.batch_size=2"], ["dataset.kind=char"], ["dataset.kind=word"]),
    ([*WORDS, HELD], ["dataset.rule=none"], ["dataset.rule=letters"]),
    ([*WORDS, HELD], ["dataset.min_freq=1"], ["dataset.min_freq=50"]),
    ([*WORDS, HELD], ["dataset.reserved=[]"], ["dataset.reserved=[x_y]"]),
    ([*WORDS, HELD, "train.batch_size=2"], ["dataset.max_tokens=900"], ["dataset.max_tokens=1000"]),
    ([*WORDS, HELD], ["model.bidirectional=false"], ["model.bidirectional=true"]),
    ([*WORDS, HELD], ["validation.fraction=0.1"], ["validation.fraction=0.2"]),
    ([*WORDS], [HELD], ["validation=kfold", "validation.fold=0"]),
    ([*WORDS, "validation=kfold"], ["validation.fold=0"], ["validation.fold=1"]),
    ([*WORDS, HELD, "train.limit_batches=1"], ["train.batch_size=2"], ["train.batch_size=4"]),
    ([*WORDS, HELD, "train.limit_batches=1", "train.batch_size=2"], ["dataset.steps=5"], ["dataset.steps=10"]),
    ([HELD], WORDS, BASES["pydoc"]),
    ([*TAGS, HELD], ["dataset.tag=3"], ["dataset.tag=2"]),
    ([*TAGS, HELD], ["dataset.steps=200"], ["dataset.steps=1"]),
    ([*ROWS, HELD], ["dataset.noise=0.01"], ["dataset.noise=1.0"]),
    ([*ROWS, HELD], ["dataset.seed=1"], ["dataset.seed=2"]),
    ([*ROWS, HELD], ["dataset.inputs=200"], ["dataset.inputs=100"]),
    ([*ROWS, HELD], ["dataset.bias=0.05"], ["dataset.bias=0.5"]),
    ([*ROWS, HELD], ["dataset.weights=[0.01]"], ["dataset.weights=[0.02]"]),
    ([*ROWS, HELD], ["dataset.n_train=20"], ["dataset.n_train=40"]),
    ([*ROWS, HELD], ["seed=1"], ["seed=2"]),
    ([*CURVE, HELD], ["dataset.coefficients=[1.0,2.0]"], ["dataset.coefficients=[1.0,3.0]"]),
    ([*CURVE], [HELD], ["validation=kfold", "validation.fold=0"]),
    ([*IMAGES, HELD], ["dataset.dir=images"], ["dataset.dir=others"]),
    ([*IMAGES, HELD], ["validation.fraction=0.1"], ["validation.fraction=0.3"]),
    ([*IMAGES, HELD], ["validation.stratify=true"], ["validation.stratify=false"]),
    ([*IMAGES, HELD], ["seed=1"], ["seed=2"]),
    ([*IMAGES, HELD, "train.batch_size=3"], ["train.limit_batches=null"], ["train.limit_batches=2"]),
    ([*IMAGES, HELD, "train.limit_batches=4"], ["train.batch_size=4"], ["train.batch_size=8"]),
    ([*IMAGES, "validation=kfold", "validation.fold=0"], ["validation.k=5"], ["validation.k=6"]),
    ([*IMAGES, "validation=kfold", "validation.fold=0"], ["validation.shuffle=true"], ["validation.shuffle=false"]),
    ([*HOUSES, HELD], ["seed=1"], ["seed=2"]),
    ([*SINE, HELD], ["dataset.n_train=604"], ["dataset.n_train=605"]),
    ([*SINE, HELD], ["dataset.seed=1"], ["dataset.seed=2"]),
    ([*SINE, "validation=kfold"], ["validation.fold=0"], ["validation.fold=1"]),
    ([*SERIES, HELD], ["dataset.column=1"], ["dataset.column=2"]),
    ([*SERIES, HELD], ["dataset.test_fraction=0.2"], ["dataset.test_fraction=0.4"]),
    ([*TEXTS, HELD], ["dataset.path=[c.tsv]"], ["dataset.path=[d.tsv]"]),
    ([*TEXTS, HELD], ["dataset.label=2"], ["dataset.label=3"]),
    ([*TEXTS, HELD], ["seed=1"], ["seed=2"]),
    ([*TEXTS], ["dataset.test=[d.tsv]"], ["dataset.test=[c.tsv]"]),
]
ALIKE = [
    ([*WORDS, HELD], ["model=rnn"], ["model=lstm"]),
    ([*WORDS, HELD], ["model=gru"], ["model=ngram", "train.batch_size=32"]),
    ([*WORDS, HELD], ["dataset.steps=5"], ["dataset.steps=10"]),
    ([*WORDS, HELD], ["dataset.sampling=random"], ["dataset.sampling=sequential"]),
    ([*WORDS, HELD], ["train.batch_size=2"], ["train.batch_size=4"]),
    ([*WORDS, HELD], ["dataset.prefix=the"], ["dataset.prefix=fox"]),
    ([*WORDS, HELD], ["seed=1"], ["seed=2"]),
    ([*WORDS, HELD], ["dataset.encoding=utf-8"], ["dataset.encoding=ascii"]),
    ([*WORDS, HELD], ["dataset.path=[a.txt]"], ["dataset.path=[./a.txt]"]),
    ([*WORDS, HELD, "model=lstm"], ["model.hidden=8"], ["model.hidden=16"]),
    ([*WORDS, "validation=kfold", "validation.fold=2"], ["optimizer.lr=0.1"], ["optimizer.lr=1"]),
    ([*TAGS, HELD], ["dataset.min_freq=1", "dataset.characters=null"], ["dataset.min_freq=2", "dataset.test=null"]),
    ([*TAGS, HELD], ["dataset.steps=200"], ["dataset.steps=7"]),
    ([*ROWS, HELD], ["optimizer.lr=0.1"], ["optimizer.lr=1"]),
    ([*ROWS, HELD], ["optimizer.weight_decay=0"], ["optimizer.weight_decay=3"]),
    ([*ROWS, HELD], ["dataset.n_test=100"], ["dataset.n_test=50"]),
    ([*ROWS, HELD], ["model=linear"], ["model=mlp"]),
    ([*ROWS, HELD], ["train.batch_size=2"], ["train.batch_size=4"]),
    ([*CURVE, HELD], ["dataset.degree=4"], ["dataset.degree=20"]),
    ([*CURVE, HELD], ["train.epochs=1"], ["train.epochs=2"]),
    ([*CURVE, HELD], ["optimizer=sgd"], ["optimizer=adam"]),
    ([*HOUSES, HELD], ["dataset.fit=train"], ["dataset.fit=all"]),
    ([*SINE, HELD], ["dataset.tau=4"], ["dataset.tau=16"]),
    ([*SINE, HELD], ["dataset.n_test=396"], ["dataset.n_test=50"]),
    ([*SINE, HELD], ["dataset.normalise=none"], ["dataset.normalise=standard"]),
    ([*SINE, HELD], ["model=mlp"], ["model=gru"]),
    ([*SINE, HELD], ["seed=1"], ["seed=2"]),
    ([*SERIES, HELD], ["dataset.time=null"], ["dataset.time=2"]),
    ([*HOUSES, "validation=kfold", "validation.fold=0"], ["train.epochs=1"], ["train.epochs=2"]),
    ([*IMAGES, HELD], ["dataset.resize=14"], ["dataset.resize=28"]),
    ([*IMAGES, HELD], ["dataset.channels=1"], ["dataset.channels=3"]),
    ([*IMAGES, HELD], ["dataset.dir=images"], ["dataset.dir=./images"]),
    ([*IMAGES, HELD], ["model=softmax"], ["model=mlp"]),
    ([*IMAGES, HELD], ["train.batch_size=16"], ["train.batch_size=256"]),
    ([*IMAGES, HELD], ["device.channels_last=true"], ["device.channels_last=false"]),
    ([*IMAGES, HELD], ["device=cpu"], ["device=auto"]),
    ([*IMAGES, HELD], ["schedule=cosine"], ["schedule=constant"]),
    ([*IMAGES, HELD], ["train.limit_batches=100"], ["train.limit_batches=200"]),
    ([*IMAGES, "validation=none"], ["model.init.std=0.1"], ["model.init.std=0.2"]),
    ([*TEXTS, HELD], ["dataset.kind=char"], ["dataset.kind=word"]),
    ([*TEXTS, HELD], ["dataset.rule=none"], ["dataset.rule=letters"]),
    ([*TEXTS, HELD], ["dataset.min_freq=1"], ["dataset.min_freq=5"]),
    ([*TEXTS, HELD], ["dataset.steps=3"], ["dataset.steps=null"]),
    ([*TEXTS, HELD], ["dataset.test=[d.tsv]"], ["dataset.test=[]"]),
    ([*TEXTS, HELD], ["model=textcnn"], ["model=lstm", "train.batch_size=64"]),
]


def metric_of(found: dict[str, Any]) -> str:
    names = list(found["measured"])
    wanted = [name for name in names if name.startswith("val_") and not name.endswith("_loss")]
    return next(iter([*wanted, *(name for name in names if name.startswith(("val_", "test_")))]))


def sets_of(*identities: dict[str, Any]) -> list[frozenset[str]]:
    metric = metric_of(identities[0])
    return [frozenset(each["measured"][metric]) for each in identities]


def pair(both: list[str], one: list[str], other: list[str]) -> list[Any]:
    """Two configs; a word comes after the words that it changes."""
    return [compose([*(word for word in both if key(word) not in map(key, words)), *words]) for words in (one, other)]


def key(word: str) -> str:
    return word.partition("=")[0]


@pytest.mark.parametrize("both, one, other", UNLIKE)
def test_runs_that_are_measured_on_other_examples_are_not_ranked(place, both, one, other):
    configs = pair(both, one, other)
    sets = sets_of(*map(identity.of, configs))
    assert not likeness.alike(sets)
    named = likeness.causes(sets, [schema.flatten(schema.to_dict(config)) for config in configs])
    keys = {key(word) for word in (*one, *other)}
    assert any(each == key or each.startswith(f"{key}.") for each in named for key in keys), named


@pytest.mark.parametrize("both, one, other", ALIKE)
def test_runs_that_are_measured_on_the_same_examples_are_ranked(place, both, one, other):
    assert likeness.alike(sets_of(*map(identity.of, pair(both, one, other))))


def test_bits_per_character_are_alike_for_other_tokens_of_the_same_text(place):
    char, word = (identity.of(compose([*WORDS, HELD, f"dataset.kind={kind}"])) for kind in ("char", "word"))
    assert char["measured"]["val_bits_per_character"] == word["measured"]["val_bits_per_character"]
    assert char["measured"]["val_perplexity"] != word["measured"]["val_perplexity"]


# --- a run and its data --------------------------------------------------------------------------------------------


@pytest.fixture
def begun(place):
    """``begun(WORD…)``: a directory of a run that has taken steps with the data of its config."""

    def begun(*words: str) -> tuple[Any, RunDirectory]:
        config = compose([*words])
        directory = RunDirectory(place / "run")
        directory.path.mkdir()
        directory.write_config(config)
        identity.record(directory, identity.of(config), print)
        directory.checkpoints.mkdir()
        return config, directory

    return begun


CHANGES = {
    "a text": ([*WORDS], lambda: Path("a.txt").write_text("another text\n" * 50), "a.txt"),
    "one character of it": ([*WORDS], lambda: Path("a.txt").write_text(TEXT * 39 + TEXT.upper()), "a.txt"),
    "labels": ([*IMAGES], lambda: shutil.copytree("others", "images", dirs_exist_ok=True), "train-labels-idx1-ubyte"),
}


@pytest.mark.parametrize("words, change, named", CHANGES.values(), ids=CHANGES)
def test_files_replaced_under_the_same_path_are_named_and_refused(begun, words, change, named):
    config, directory = begun(*words)
    identity.record(directory, identity.of(config), print)
    before = directory.data_file.read_bytes()
    change()
    with pytest.raises(OtherData, match=f"{named}: sha256 .*, wanted "):
        identity.record(directory, identity.of(config), print)
    with pytest.raises(OtherData, match=named):
        identity.locate_data(config, directory, print)
    assert directory.data_file.read_bytes() == before


@pytest.mark.parametrize(
    "words, here, there",
    [(WORDS, "a.txt", "dataset.path=[moved/a.txt]"), (IMAGES, "images", "dataset.dir=moved/images")],
    ids=["text", "images"],
)
def test_the_same_content_at_another_place_is_the_same_data(begun, place, words, here, there, monkeypatch):
    config, directory = begun(*words)
    said = []
    Path("moved").mkdir()
    shutil.move(here, "moved")
    with pytest.raises(Refused):
        identity.locate_data(config, directory, said.append)
    [new] = [compose([*(word for word in words if key(word) != key(there)), there])]
    assert identity.locate_data(new, directory, said.append) == new
    assert config_hash(new) == config_hash(config)
    assert said[-1].startswith("data found at ") and said[-1].endswith(", same content")


@pytest.mark.parametrize("words", [WORDS, IMAGES], ids=["text", "images"])
def test_a_relative_path_is_found_from_another_folder(begun, place, words, monkeypatch):
    config, directory = begun(*words)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    found = identity.locate_data(config, directory, print)
    assert identity.of(found)["content"] == directory.data()["content"]


def test_a_place_that_the_user_names_is_not_replaced_by_another(begun, place):
    _, directory = begun(*WORDS)
    with pytest.raises(OtherData, match=r"b\.txt"):
        identity.locate_data(compose(["model=rnn", "dataset=text", "dataset.path=[b.txt]"]), directory, print)
    with pytest.raises(Refused, match="nowhere"):
        identity.locate_data(compose(["model=rnn", "dataset=text", "dataset.path=[nowhere.txt]"]), directory, print)


def test_a_run_of_an_earlier_version_is_taken_as_it_is(begun):
    config, directory = begun(*WORDS)
    directory.data_file.unlink()
    said = []
    assert identity.locate_data(config, directory, said.append) is config
    identity.record(directory, identity.of(config), said.append)
    assert len(said) == 1 and "no record" in said[0]
    assert directory.data()["content"] == identity.of(config)["content"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@given(st.sampled_from(["content", "files", "places", "parts", "measured"]), json_values)
def test_a_record_with_any_value_in_it_is_read_or_none(tmp_path_factory, key, value):
    directory = RunDirectory(tmp_path_factory.mktemp("run"))
    record = {"content": "c", "files": [], "places": {}, "parts": {}, "measured": {}}
    directory.data_file.write_text(json.dumps(record | {key: value}), encoding="utf-8")
    found = directory.data()
    if found is not None:
        identity.changed_files(found, record), identity.changed_parts(found, record)
        identity.moved(compose([*WORDS]), found["places"])


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"content": 1}', b"\xff"])
def test_a_damaged_record_is_none(tmp_path, content):
    directory = RunDirectory(tmp_path)
    directory.data_file.write_bytes(content)
    assert directory.data() is None
