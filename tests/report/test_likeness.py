"""Rows made by hand: which can be ranked beside each other, and what makes them differ."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.report.likeness import Choice, alike, causes, choose, whole

parts = st.frozensets(st.sampled_from("abcd"), max_size=4)


def sets(*words):
    return [frozenset(word) for word in words]


@pytest.mark.parametrize(
    "rows, ranked",
    [
        ([], True),
        (["a"], True),
        (["a", "a"], True),
        (["abc", "abc", "ab"], True),  # one lacks a part, such as a seed that was not run
        (["a", "b"], False),
        (["ab", "bc"], False),
        (["ab", "cd", "abcd"], True),
    ],
)
def test_rows_are_alike_if_one_has_all_the_parts(rows, ranked):
    assert alike(sets(*rows)) == ranked


@given(st.lists(parts, min_size=1, max_size=6))
def test_rows_are_alike_exactly_if_all_are_parts_of_one_of_them(rows):
    assert alike(rows) == any(all(other <= row for other in rows) for row in rows)
    assert all(row <= whole(rows) for row in rows)


KEYS = {"dataset.noise": (0.1, 1.0), "optimizer.lr": (0.1, 0.2, 0.3), "seed": (0, 1), "train.batch_size": (16, 256)}
grids = [dict(zip(KEYS, values, strict=True)) for values in itertools.product(*KEYS.values())]


@given(st.lists(st.sampled_from(list(KEYS)), min_size=1, max_size=3, unique=True))
def test_in_a_grid_the_causes_are_exactly_the_keys_that_change_the_parts(chosen):
    found = [frozenset({str([config[key] for key in chosen])}) for config in grids]
    assert sorted(causes(found, grids)) == sorted(chosen)


def test_if_no_key_changes_alone_the_dataset_is_named_before_what_comes_with_it():
    rnn = {"model.name": "rnn", "dataset.name": "timemachine", "dataset.kind": "char", "train.epochs": 500}
    mlp = {"model.name": "mlp", "dataset.name": "fashion-mnist", "dataset.resize": None, "train.epochs": 10}
    assert causes(sets("a", "b"), [rnn, mlp]) == ["dataset.name"]


def test_of_several_pairs_the_one_that_differs_in_fewest_keys_is_named():
    configs = [
        {"seed": 0, "train.batch_size": 16, "optimizer.lr": 1},
        {"seed": 1, "train.batch_size": 32, "optimizer.lr": 1},
    ]
    configs.append({"seed": 1, "train.batch_size": 64, "optimizer.lr": 2})
    assert causes(sets("a", "b", "b"), configs) == ["train.batch_size"]


def test_equal_configs_have_no_cause():
    assert causes(sets("a", "b"), [{"seed": 1}, {"seed": 1}]) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([frozenset("a"), frozenset("ab")]), st.booleans()), min_size=1
    )
)
def test_the_best_has_all_parts_and_is_better_than_chance_and_than_some_other(rows):
    values, found, lost = zip(*rows, strict=True)
    choice = choose(values, found, lost)
    assert all((place in choice.lacking) == (each != whole(found)) for place, each in enumerate(found))
    able = [values[place] for place in range(len(rows)) if place not in choice.lacking and not lost[place]]
    if choice.first is None:
        assert choice.why and (not able or len(set(able)) == 1 < len(able))
    else:
        assert values[choice.first] == min(able) and not lost[choice.first] and choice.first not in choice.lacking
        assert [values[place] for place in choice.tied] == [min(able)] * (able.count(min(able)) - 1)


def test_of_no_rows_none_is_the_best():
    assert choose([], [], []) == Choice()
