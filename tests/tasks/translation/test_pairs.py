"""Pairs in batches and parts: padding, tokens that count, and no source sentence in two parts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.compose import compose
from d2lrun.errors import Refused
from d2lrun.tasks.translation.pairs import build
from d2lrun.tasks.translation.reading import is_held_out, pools_of, read_pairs
from d2lrun.text.vocabulary import BOS, EOS, PAD

SETTINGS = {"rule": "none", "min_freq": 1, "steps": None, "batches": "random", "loss": "token", "metric": "perplexity"}
ROWS = [("a", "x"), ("b c", "y z x"), ("a", "x x"), ("d", "y"), ("e e e", "z"), ("b c", "y")]


def dataset(rows=ROWS, test=(), **changes):
    return build("pairs", {"test": list(test), "train": rows}, "here", ("word", "word"), **{**SETTINGS, **changes})


def test_a_batch_has_sources_and_targets_with_the_beginning_before_them():
    part = dataset().part("train")
    (sources, given_targets), targets = part.load(torch.tensor([0, 1]))
    tokens = part.data.targets.vocabulary.indices
    x, y, z = (tokens[name] for name in "xyz")
    assert targets.tolist() == [[x, EOS, PAD, PAD], [y, z, x, EOS]]
    assert given_targets.tolist() == [[BOS, x, EOS, PAD], [BOS, y, z, x]]
    assert sources.shape == (2, 3) and sources[0, 1:].tolist() == [EOS, PAD]
    assert part.count([torch.tensor([0, 1])]) == 6 == int((targets != PAD).sum())
    assert part.size == part.count(part.shuffled(2, 1, 0))


def test_a_fixed_batch_has_the_width_of_the_steps_and_longer_sentences_are_cut():
    part = dataset(steps=3, batches="fixed").part("train")
    (sources, _), targets = part.load(torch.tensor([0]))
    assert sources.shape == targets.shape == (1, 3)
    (_, _), targets = part.load(torch.tensor([1]))
    assert EOS not in targets and part.data.inputs.steps == 3
    assert part.data.targets.cut("train") == 1


many = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), min_size=12, max_size=40)


@given(many, st.integers(0, 5))
def test_no_source_is_in_two_parts_of_a_split(rows, seed):
    data = dataset(rows)
    if len({source for source, _ in rows}) < 3:
        return
    for name in ("holdout", "kfold"):
        shared = {"fraction": 0.4, "k": 3, "fold": 1, "shuffle": True, "stratify": True}
        split = data.split(SimpleNamespace(name=name, **shared), seed)
        train, val = (set(part.cases()) for part in (split.train, split.val))
        assert train and val and not train & val
        assert train | val == {source for source, _ in rows}
        assert len(split.train.index) + len(split.val.index) == len(rows)


@given(many)
def test_every_pair_validates_in_one_fold(rows):
    data = dataset(rows)
    if len({source for source, _ in rows}) < 3:
        return
    folds = (SimpleNamespace(name="kfold", k=3, fold=fold, shuffle=True, stratify=True) for fold in range(3))
    held = torch.cat([data.split(fold, 1).val.index for fold in folds])
    assert sorted(held.tolist()) == list(range(len(rows)))


def test_the_vocabulary_is_that_of_the_training_part():
    validation = SimpleNamespace(name="holdout", fraction=0.4, stratify=True)
    data = dataset().fit(SimpleNamespace(validation=validation, seed=1))
    train = data.split(validation, 1).train
    words = {word for source in train.cases() for word in source.split()}
    assert set(data.sources.vocabulary.tokens[4:]) == words < {"a", "b", "c", "d", "e"}


def test_held_out_sources_are_always_the_same_and_never_train():
    rows = [(f"sentence {number % 700}", f"{number}") for number in range(1000)]
    few, all_pairs = pools_of(rows, 10, True), pools_of(rows, None, True)
    assert few["test"] == all_pairs["test"] and len(few["train"]) == 10
    assert all_pairs["train"][:10] == few["train"] and len(all_pairs["train"]) + len(few["test"]) == 1000
    assert not {source for source, _ in all_pairs["train"]} & {source for source, _ in few["test"]}
    assert 0 < len(few["test"]) < 40 and all(is_held_out(source) for source, _ in few["test"])
    assert pools_of(rows, 3, False) == {"test": [], "train": rows[:3]}


def test_references_of_a_source_stand_together():
    assert dataset().part("train").cases()["a"] == ["x", "x x"]


def test_the_identity_is_that_of_the_sentences():
    test = [("q", "r")]
    one, other = dataset(test=test), dataset(ROWS[:3], test=test)
    assert one.part("test").fingerprint == other.part("test").fingerprint
    assert one.part("train").fingerprint != other.part("train").fingerprint
    assert dataset(ROWS[::-1]).pool("train") != dataset().pool("train")


@pytest.mark.parametrize("changes", [{"batches": "fixed"}, {"loss": "book"}])
def test_what_needs_steps_is_refused_without(changes):
    with pytest.raises(Refused, match=r"needs dataset\.steps"):
        dataset(**changes)


def test_more_folds_than_sources_are_refused():
    with pytest.raises(Refused, match="more folds than examples"):
        dataset().check_split(compose(["model=seq2seq", "dataset=arithmetic", "validation=kfold", "validation.k=7"]))


def test_a_text_is_read_line_by_line_whatever_ends_them():
    lines, said = 'Go.\tVa\u202f!\tCC-BY #1\r\n\r\nHi\t \rNo\t"Non"', []
    assert read_pairs(lines, "f.tsv", "book", said.append) == [("go .", "va !"), ("no", '"non"')]
    assert said == ["f.tsv: the third column of 1 line is ignored", "f.tsv: 1 pair with an empty sentence left out"]


@pytest.mark.parametrize("line, found", [("one", "no tab"), ("a\tb\tc\td", "4 columns")])
def test_a_line_with_other_columns_is_named(line, found):
    with pytest.raises(Refused, match=f"f.tsv, line 2: {found}"):
        read_pairs(f"a\tb\n{line}\n", "f.tsv", "book", print)
