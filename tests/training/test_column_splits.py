"""Splits by a column: groups that stay together, and cuts in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, KFold
from d2lrun.errors import Refused
from d2lrun.training.splits import grouped, in_time

FOLDS = KFold("kfold", 3, None, True, True, 1, False, "who")
PART = Holdout("holdout", 0.25, True, "who", None)
GROUPS = st.lists(st.integers(0, 9), min_size=12, max_size=80).filter(lambda groups: len(set(groups)) >= 3)


@given(GROUPS, st.integers(0, 99), st.booleans(), st.booleans())
def test_every_group_validates_in_one_fold(groups, seed, shuffle, stratify):
    names, labels = torch.tensor(groups), torch.arange(len(groups)) % 2
    config = replace(FOLDS, shuffle=shuffle, stratify=stratify)
    seen = []
    for fold in range(3):
        train, val = grouped(replace(config, fold=fold), labels, names, seed)
        assert {*names[train].tolist()}.isdisjoint(names[val].tolist())
        assert sorted([*train.tolist(), *val.tolist()]) == [*range(len(groups))]
        seen += val.tolist()
    assert sorted(seen) == [*range(len(groups))]


@given(GROUPS, st.integers(0, 99))
def test_a_group_is_held_out_or_trains(groups, seed):
    names, labels = torch.tensor(groups), torch.zeros(len(groups), dtype=torch.int64)
    train, val = grouped(PART, labels, names, seed)
    assert {*names[train].tolist()}.isdisjoint(names[val].tolist())


def test_folds_of_many_groups_have_their_share_of_each_class():
    names = torch.arange(300) // 3
    labels = (names % 5 == 0).long()
    for fold in range(3):
        _, val = grouped(replace(FOLDS, fold=fold), labels, names, 1)
        assert len(val) == pytest.approx(100, abs=6) and labels[val].sum().item() == pytest.approx(20, abs=3)
    _, val = grouped(PART, labels, names, 1)
    assert len(val) == pytest.approx(75, abs=6) and labels[val].sum().item() == pytest.approx(15, abs=3)


def test_other_seeds_deal_other_groups():
    names = torch.arange(60) // 2
    first, again, other = (grouped(FOLDS, torch.zeros(60), names, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other


@given(st.lists(st.integers(0, 30), min_size=8, max_size=60), st.integers(2, 4))
def test_what_trains_is_before_what_validates(times, k):
    values = torch.tensor(times, dtype=torch.float64)
    for config in (replace(PART, group=None, time="day"), *(replace(FOLDS, k=k, fold=fold) for fold in range(k))):
        try:
            train, val = in_time(config, values)
        except Refused:
            assert len(set(times)) <= 8 * k  # so many equal times that a part is empty
            continue
        assert values[train].max() < values[val].min()


def test_folds_in_time_grow():
    times = torch.arange(40.0)[torch.randperm(40)].double()
    parts = [in_time(replace(FOLDS, fold=fold), times) for fold in range(3)]
    assert [(len(train), len(val)) for train, val in parts] == [(10, 10), (20, 10), (30, 10)]
    assert len(in_time(PART, times)[1]) == 10


def test_more_folds_than_groups_are_refused_with_what_works():
    with pytest.raises(Refused, match="more folds than groups") as refusal:
        grouped(FOLDS, torch.zeros(9), torch.arange(9) % 2, 1)
    assert refusal.value.hint == "validation.k=2"
