from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config import Holdout, NoValidation
from d2lrun.validation import Split, split

labels = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(torch.tensor)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


def holdout(fraction=0.1, stratify=True):
    return Holdout("holdout", fraction, stratify)


def test_without_validation_everything_trains():
    parts = split(NoValidation("none"), torch.zeros(7), seed=0)
    assert parts.train.tolist() == list(range(7))
    assert parts.val is None


@given(labels, fractions, st.booleans(), seeds)
def test_the_parts_are_disjoint_and_complete(labels, fraction, stratify, seed):
    parts = split(holdout(fraction, stratify), labels, seed)
    assert sorted(parts.train.tolist() + parts.val.tolist()) == list(range(len(labels)))


@given(labels, fractions, seeds)
def test_the_fraction_is_kept(labels, fraction, seed):
    parts = split(holdout(fraction, stratify=False), labels, seed)
    assert abs(len(parts.val) - fraction * len(labels)) <= 0.5


@given(labels, fractions, seeds)
def test_every_class_keeps_its_share(labels, fraction, seed):
    parts = split(holdout(fraction), labels, seed)
    held = Counter(labels[parts.val].tolist())
    for label, count in Counter(labels.tolist()).items():
        assert abs(held[label] - fraction * count) <= 0.5


@pytest.mark.parametrize("stratify", [True, False])
def test_it_depends_on_the_seed_only(stratify):
    labels = torch.arange(500) % 10
    torch.manual_seed(1)
    one = split(holdout(stratify=stratify), labels, seed=3)
    torch.manual_seed(2)
    same, other = (split(holdout(stratify=stratify), labels, seed=seed) for seed in (3, 4))
    assert torch.equal(one.val, same.val) and torch.equal(one.train, same.train)
    assert not torch.equal(one.val, other.val)


def test_the_examples_are_drawn_from_everywhere():
    val = split(holdout(0.5, stratify=False), torch.zeros(1000), seed=0).val
    assert 400 < val.double().mean().item() < 600
    assert (val.diff() > 1).any()


def test_a_split_moves_to_a_device():
    moved = Split(torch.arange(3), None).to(torch.device("meta"))
    assert (moved.train.device.type, moved.val) == ("meta", None)
    assert Split(torch.arange(3), torch.arange(2)).to(torch.device("meta")).val.device.type == "meta"
