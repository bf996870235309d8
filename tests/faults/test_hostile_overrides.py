"""Whatever stands on the command line: a config that survives its file, or a refusal of one line a complaint.

The command lines are drawn at random from the schema: each key with values that are right, wrong, nested, huge, in
any alphabet, with control characters, and with pieces of Hydra's grammar.
"""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import yaml

from d2lrun.config import schema
from d2lrun.config.compose import Known, compose_all
from d2lrun.config.keys import VARIANTS
from d2lrun.config.schema import keys_of
from d2lrun.config.types import DeviceNames
from d2lrun.disk.rundir import as_text
from d2lrun.errors import Refused
from d2lrun.sweeps import grid, request, search

LINES = 300
TEXTS = [
    *["novel.txt", "红楼梦.txt", "my file (1).txt", "it's", "a,b", "a b", "[draft]", "{x}", "${e}", "~/x", "文本/一"],
    *["2024", "007", "1e3", "true", "1_000", "null", "", " ", "é", "👩", "x" * 300, "图" * 90, "a＝b", "，", "C:\\x\\"],
    *[
        "\\",
        "'",
        '"',
        "'a",
        "a'b'",
        "\u202e",
        "\x1b[31m",
        "a\nb",
        "\t",
        "\0",
        "\udcff",
        "$(x)",
        "`x`",
        "%s",
        "a=b",
        "#",
    ],
]
GRAMMAR = [
    *["[", "]", "(", ")", "{", "}", ",", "[[", "[1", "{a:", "a:b", "${", "${}", "${nowhere}", "${seed}", "${run.root}"],
    *["${oc.env:NOT_SET}", "${oc.decode:'['}", "${now:}", "${hydra:}", "${oc.create:{a:1}}", "${..x}", "choice(1,2)"],
    *[
        "choice()",
        "range(1,3)",
        "range(3,1)",
        "range(1,9,0)",
        "range(1,1e9)",
        "interval(0,1)",
        "interval(1,0)",
        "glob(*)",
    ],
    *["glob([)", "sort(b,a)", "shuffle(1,2)", "tag(log,interval(1,2))", "tag(x)", "int(1e999)", "int(x)", "str(007)"],
    *[
        "float(x)",
        "bool(7)",
        "sort(1,a)",
        "f(x)",
        "1,2",
        "a,b",
        "'a','b'",
        "[1],[2]",
        "_target_",
        "{_target_:os.mkdir}",
    ],
]
NUMBERS = [
    *["0", "1", "-1", "2", "0.5", "1.5", "-0.0", "1e-9", "1e400", "nan", "inf", "-inf", "1_0", "0x10", "٣", "３"],
    *["9" * 20, "9" * 400, "1e" + "9" * 400, str(2**63), str(2**64), "1" + "0" * 12, "0." + "1" * 5000],
]
HUGE = "9" * 100_000
DEEP = [
    "[" * 500 + "]" * 500,
    "{a:" * 500 + "1" + "}" * 500,
    "(" * 500,
    "choice(" * 500 + ")" * 500,
    "[" * 33 + "]" * 33,
]
WORDS = [
    *["", "=", "==", "a", "a b=1", "~", "~seed", "~train", "~model=mlp", "+", "++x=1", "+model=lenet", "model@x=mlp"],
    *[
        "model@hydra.x=mlp",
        "hydra=null",
        "hydra.run.dir=X",
        "+hydra.nope=1",
        "hydra/launcher=joblib",
        "~hydra",
        "x.y.z=1",
    ],
    *[
        ".".join("a" * 2000) + "=1",
        "a" * 10_000 + "=1",
        "seed.x=1",
        "train=3",
        "model={}",
        "model.hidden.0=3",
        "model=null",
    ],
    *[
        "model.init={name: normal}",
        "＝",
        "seed＝1",
        "种子=1",
        "optimizer.lr =1",
        "=x",
        "@=1",
        "a/b=1",
        "model/mlp=1",
        "model=[mlp]",
    ],
    *[
        "sweep.grid={seed:[1,2]}",
        "sweep.grid={a b:1}",
        "sweep.combinations=[seed=1 seed=2]",
        "sweep.zip=seed",
        "book.section=4.2",
    ],
]


def fitting(kind: Any, chance: random.Random) -> str:
    """A value that is right for a type of the schema, as one types it."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated and isinstance(arguments[1], DeviceNames):
        return "cpu"
    if origin is Annotated:
        low, high = arguments[1].low, arguments[1].high
        if arguments[0] is int:
            return str(chance.choice([low, low + 1, min(high, low + 7), high]))
        return repr(chance.choice([low, high, (low + high) / 2, low + 1e-3]))
    if origin is Literal:
        return str(chance.choice(arguments))
    if origin is list:
        values = [fitting(arguments[0], chance) for _ in range(chance.randrange(3))]
        return chance.choice([f"[{','.join(values)}]", *values])
    if kind in (str, bool):
        return chance.choice(TEXTS if kind is str else ["true", "false", "True"])
    return chance.choice(["{}", "null", "{seed:[1,2]}", "{sgd:0.1}"])


def word_of(key: str, chance: random.Random) -> str:
    """An override of a key, right or wrong."""
    kinds = sorted(schema.kinds()[key], key=repr)
    values = [
        lambda: fitting(chance.choice(kinds), chance),
        lambda: chance.choice(TEXTS),
        lambda: chance.choice(GRAMMAR),
        lambda: chance.choice([*NUMBERS, HUGE]),
        lambda: chance.choice(DEEP),
        lambda: f"[{chance.choice(TEXTS)}, {chance.choice(NUMBERS)},{chance.choice(GRAMMAR)}]",
        lambda: "".join(chance.choice(TEXTS + GRAMMAR) for _ in range(3)),
        lambda: f"{chance.choice(TEXTS)},{chance.choice(TEXTS)}",
    ]
    value = chance.choices(values, [12, 3, 3, 2, 1, 2, 2, 1])[0]()
    return f"{chance.choices(['', '+', '++', '~'], [20, 1, 1, 1])[0]}{key}={value}"


def line(seed: int) -> list[str]:
    """A command line: a key of the schema that follows from the seed, and a few others, with options that have them."""
    chance = random.Random(seed)
    keys = sorted(schema.kinds())
    key = keys[seed % len(keys)]
    group = key.partition(".")[0]
    having = [
        name for name, cls in VARIANTS.get(group, {}).items() if key.count(".") and key.split(".")[1] in keys_of(cls)
    ]
    words = [f"{group}={chance.choice(having)}"] if having and group != "sweep" else []
    words += [word_of(key, chance)]
    words += [word_of(chance.choice(keys), chance) for _ in range(chance.choice([0, 0, 0, 0, 1, 3]))]
    words += [chance.choice(WORDS)] if chance.random() < 0.2 else []
    return words


def assert_one_line_each(refusal: Refused) -> None:
    """A message has a first line and one for each complaint; nothing in it moves a cursor, and no line is endless."""
    head, *rows = str(refusal).split("\n")
    complaints = getattr(refusal, "complaints", [None])
    assert len(rows) == (len(complaints) if len(complaints) > 1 else 0)
    for row in (head, *rows):
        assert row.isprintable() and len(row) < 3000


@pytest.fixture(scope="module")
def known():
    return Known()


@pytest.mark.parametrize("seed", range(LINES))
def test_a_line_is_a_config_or_refused(seed, known):
    words = line(seed)
    try:
        [config] = compose_all([words], known=known)
    except Refused as refusal:
        assert_one_line_each(refusal)
        return
    assert schema.parse(schema.to_dict(config)) == config
    assert schema.parse(yaml.safe_load(as_text(config))) == config


@pytest.mark.parametrize("seed", range(0, LINES, 7))
def test_a_line_with_m_is_a_sweep_or_refused(seed, known, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = line(seed) + (["sweep=optuna", "validation=holdout"] if seed % 5 == 0 else ["seed=1,2"])
    try:
        asked = request.read(words, None, "d2lrun -m")
        planned = {"grid": grid, "optuna": search}[asked.settings.engine].plan(asked)
    except Refused as refusal:
        assert str(refusal).replace("\n", "").isprintable()
        return
    assert planned.keys and planned.directory.parent.name == "sweeps"
