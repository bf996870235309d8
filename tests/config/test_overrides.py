"""What the user types is what the config holds: the type of the key decides, not Hydra's grammar."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from d2lrun.config import schema
from d2lrun.config.compose import Known, compose, gather, parse_override, resolved
from d2lrun.config.overrides import QUOTED, as_text, quoted, readable
from d2lrun.errors import Refused
from d2lrun.sweeps import grid, request
from d2lrun.sweeps.space import space_of

KEYS = sorted(schema.kinds())
TEXT_KEYS = [key for key in KEYS if schema.is_text(key)]
LIST_KEYS = [key for key in KEYS if schema.is_list(key)]
TYPED = [
    *["2024", "007", "1e3", "true", "1_000", "0.10", ".5", "inf", "-3", "红楼梦.txt", "my file (1).txt", "it's", "a,b"],
    *[
        "[draft] a",
        "a b",
        "${e}",
        "{x",
        "x)",
        "~/kmnist",
        "C:\\x\\",
        "a=b",
        "a:b",
        "0.*",
        "#1",
        "é\\'",
        "文本/一",
        '"a',
        "$x",
    ],
]
LETTERS = st.text(st.sampled_from(list("ab1_.e+-'\"\\ 图,={}[]()#:/$~\t\n*")), max_size=14)


@pytest.fixture(scope="module")
def value_of():
    """``value_of(WORD)``: what the key of an override holds in the composed config, unchecked."""
    known = Known()

    def value(word: str):
        data = resolved(gather([word], None, known)[0], [])
        return schema.flatten(data)[word.partition("=")[0]]

    return value


@pytest.mark.parametrize("text", TYPED)
def test_the_keys_of_text_hold_what_was_typed(text):
    data = resolved(gather([f"{key}={text}" for key in TEXT_KEYS], None, Known())[0], [])
    assert {key: schema.flatten(data)[key] for key in TEXT_KEYS} == dict.fromkeys(TEXT_KEYS, text)


@pytest.mark.parametrize("key", [key for key in TEXT_KEYS if schema.is_list(key)])
def test_a_list_of_texts_holds_what_was_typed(key, value_of):
    plain = [text for text in TYPED if not set(text) & set(",[]{}()")]
    assert value_of(f"{key}=[{','.join(plain)}]") == plain
    assert value_of(f"{key}=[a (1).txt, b c.txt]") == ["a (1).txt", "b c.txt"]


@pytest.mark.parametrize("key", LIST_KEYS)
def test_one_value_is_a_list_of_one(key):
    for kind in schema.kinds()[key]:
        if get_origin(kind) is list:
            inner = get_args(kind)[0]
            text = "a" if inner is str else "0.5" if "float" in str(kind) else "3"
            text = str(get_args(inner)[0]) if get_origin(inner) is Literal else text
            value = parse_override(f"{key}={text}").value()
            assert schema.convert(kind, value) == [schema.convert(get_args(kind)[0], value)]


@settings(max_examples=300)
@given(LETTERS)
def test_any_text_is_taken_as_it_is(text):
    syntax = any(sign in text for sign in ("${", ",", ")"))
    assume(not syntax and text.lower() != "null" and not QUOTED.fullmatch(text))
    assert parse_override(f"run.dir={text}").value() == text


@settings(max_examples=300)
@example("1,',图", False, "seed")
@given(LETTERS, st.booleans(), st.sampled_from(["run.dir", "dataset.path", "seed", "sweep.grid", "new"]))
def test_what_is_readable_stays_as_it_is(text, several, key):
    word = readable(f"{key}={text}", several)
    if parse_override(word).input_line != as_text(word):
        assert readable(word, several) == word


@settings(max_examples=300)
@given(LETTERS)
def test_a_quoted_text_survives_hydra_and_omegaconf(text):
    value = parse_override(f"new={quoted(text)}").value()
    assert OmegaConf.to_container(OmegaConf.create({"new": value}), resolve=True) == {"new": text}


def test_a_reference_to_a_key_is_resolved_and_others_are_text(value_of):
    assert value_of("run.dir=${run.root}/my run") == "outputs/my run"
    assert value_of("run.dir=${e}/${run.root}") == "${e}/${run.root}"


@pytest.mark.parametrize("word", ["run.name=null", "dataset.dir=null", "model.weights=null"])
def test_null_is_no_text(word):
    assert parse_override(word).value() is None


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("model.hidden=64,128", [[64], [128]]),
        ("model.hidden=[64, 32],128", [[64, 32], [128]]),
        ("model.freeze=0.*,1.*", [["0.*"], ["1.*"]]),
        ("model.freeze=choice(0.*,图 b)", [["0.*"], ["图 b"]]),
        ("dataset.dir=a b (1),c=d,2024", ["a b (1)", "c=d", "2024"]),
        ("sweep.grid={model.freeze:[0.*,007],model.hidden:8}", None),
    ],
)
def test_commas_of_a_sweep_separate_values(word, values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if values is None:
        assert parse_override(word).value() == {"model.freeze": ["0.*", "007"], "model.hidden": 8}
        return
    planned = grid.plan(request.read([word], None, "d2lrun -m"))
    key = word.partition("=")[0]
    assert [schema.flatten(schema.to_dict(job.config))[key] for job in planned.jobs] == values


def test_commas_of_a_search_separate_texts():
    space = space_of(["dataset.prefix=a b,红 (1)", "model.freeze=0.*,1.*"], None)
    assert space["dataset.prefix"].ends() == ["'a b'", "'红 (1)'"]
    assert space["model.freeze"].ends() == ["0.*", "1.*"]


@pytest.mark.parametrize("path", ["图" * 86, "a/" * 3000])
@pytest.mark.parametrize("key", ["run.root", "run.dir"])
def test_a_path_that_no_disk_takes_is_refused(key, path):
    with pytest.raises(Refused, match="255 between two /"):
        compose([f"{key}={path}"])


def test_a_folder_of_the_whole_sweep_keeps_its_commas(tmp_path):
    asked = request.read([f"run.root={tmp_path}/a,b", "sweep.name='x, y'", "seed=1,2"], None, "d2lrun -m")
    assert grid.plan(asked).directory == tmp_path / "a,b" / "sweeps" / "x, y"


def bounded(kind) -> bool:
    return getattr(kind, "__metadata__", None) is not None and get_args(kind)[0] is int


@pytest.mark.parametrize("key", [key for key in KEYS if any(map(bounded, schema.kinds()[key]))])
def test_a_whole_number_has_a_bound_that_the_refusal_names(key):
    for kind in filter(bounded, schema.kinds()[key]):
        high = get_args(kind)[1].high
        assert high < 2**63
        for number in (high + 1, 2**63, 10**1000):
            with pytest.raises(schema.Mismatch, match=f"at most {high}"):
                schema.convert(kind, number)


def test_every_whole_number_of_the_schema_is_bounded():
    kinds = [kind for key in KEYS for kind in schema.kinds()[key]]
    assert not [kind for kind in kinds if kind is int or (get_args(kind)[:1] == (int,) and not bounded(kind))]


def test_a_made_table_that_no_memory_holds_is_refused():
    with pytest.raises(Refused, match=r"wanted at most 1073741824 numbers, rows times dataset\.inputs"):
        compose(["model=linear", "dataset=linear", "dataset.n_train=10000000", "dataset.inputs=1000"])
