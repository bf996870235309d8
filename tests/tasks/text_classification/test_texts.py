"""Labelled texts in memory: tokens, the vocabulary of the training part, batches, fingerprints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.text_classification.facts import facts_of
from d2lrun.tasks.text_classification.texts import Labelled, build, encode, natural
from d2lrun.text.vocabulary import PAD, UNKNOWN

WORDS = ["good", "bad", "<pad>", "<unk>", "Film", "a", "好", "不", "\n", "\t", "\x85", "1"]
TEXT = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
TEXTS = st.lists(TEXT, min_size=4, max_size=9)
KINDS = st.sampled_from(["char", "word"])
RULES = st.sampled_from(["letters", "lower", "none"])


def dataset(train, test=(), labels=None, test_labels=None, kind="word", rule="none", **view):
    labels = labels or [str(n % 2) for n in range(len(train))]
    test_labels = test_labels or [str(n % 2) for n in range(len(test))]
    data = build(
        "mine", Labelled(train, labels), Labelled(test, test_labels), "here", contents=(), kind=kind, rule=rule
    )
    return replace(data, **view)


def fitted(*arguments, **options):
    data = dataset(*arguments, **options)
    return data.fitted(torch.arange(len(data.strata)))


@given(TEXTS, TEXTS, TEXTS)
def test_only_the_training_part_has_an_influence_on_the_vocabulary(train, held_out, other):
    texts = [[*train, *more[:4]] for more in (held_out, other)]
    one, two = (dataset(each, each).fitted(torch.arange(len(train))) for each in texts)
    assert one.vocabulary == two.vocabulary
    assert [one.tokens["train"][n] for n in range(len(train))] == [two.tokens["train"][n] for n in range(len(train))]


@given(TEXTS, KINDS, RULES, st.none() | st.integers(1, 5))
def test_a_text_has_the_same_tokens_alone_and_in_a_dataset(texts, kind, rule, steps):
    data = fitted(texts, texts[::-1], kind=kind, rule=rule, steps=steps)
    for part, each in data.texts.items():
        numbers = [encode(text, data.vocabulary, kind, rule, steps) for text in each]
        assert [data.tokens[part][n] for n in range(len(each))] == numbers


@given(TEXTS, KINDS, RULES)
def test_a_text_has_a_token_and_no_padding_inside(texts, kind, rule):
    data = fitted(texts, kind=kind, rule=rule)
    for n in range(len(texts)):
        assert data.tokens["train"][n] and PAD not in data.tokens["train"][n]


def test_rare_tokens_and_those_of_the_held_out_part_are_unknown():
    data = dataset(["a a b", "a c", "a new word", "x"], ["new a"], min_freq=2).fitted(torch.tensor([0, 1]))
    assert data.vocabulary.tokens == [UNKNOWN, "<pad>", "a"]
    assert [data.tokens["train"][n] for n in range(4)] == [[2, 2, 0], [2, 0], [2, 0, 0], [0]]
    assert data.tokens["test"][0] == [0, 2]


def test_a_batch_is_padded_and_has_its_labels():
    part = fitted(["a b c", "a", ""]).part("train")
    tokens, labels = part.load(torch.tensor([1, 0, 2]))
    assert tokens.tolist() == [[2, PAD, PAD], [2, 3, 4], [0, PAD, PAD]]
    assert labels.tolist() == [1, 0, 0]


def test_batches_have_similar_lengths_if_wanted():
    texts = ["w " * (1 + n % 10) for n in range(100)]
    padding = {}
    for grouped in (True, False):
        part = fitted(texts, by_length=grouped).part("train")
        batches = part.shuffled(10, seed=1, epoch=0)
        assert torch.cat(batches).sort().values.tolist() == list(range(100))
        padding[grouped] = sum(int((part.load(batch)[0] == PAD).sum()) for batch in batches)
    assert padding[True] == 0 < padding[False]


def test_fingerprints_do_not_depend_on_tokens():
    texts = ["a b", "c d", "a long text", "e"]
    plain = fitted(texts, texts)
    others = [{"kind": "char"}, {"rule": "lower"}, {"min_freq": 2}, {"steps": 1}, {"by_length": False}]
    for name in ("train", "test"):
        assert {fitted(texts, texts, **each).part(name).fingerprint for each in others} == {
            plain.part(name).fingerprint
        }


@pytest.mark.parametrize(
    "texts, labels",
    [(["a b", "c d", "a long text", "f"], None), (["a b", "c d", "a long text", "e"], ["1", "1", "0", "1"])],
)
def test_other_texts_or_labels_have_another_fingerprint(texts, labels):
    plain = fitted(["a b", "c d", "a long text", "e"])
    assert fitted(texts, labels=labels).part("train").fingerprint != plain.part("train").fingerprint


def test_classes_are_sorted_and_numbers_by_their_value():
    assert sorted(["10", "9", "b", "a", "1.5"], key=natural) == ["9", "10", "1.5", "a", "b"]


def test_without_test_texts_there_is_no_test_part():
    assert fitted(["a", "b"]).part("test") is None


def test_what_is_special_is_counted():
    labels = ["x", "y", "x", "y", "x"]
    data = dataset(["a b c", "a b c", "d", "", "a b c"], ["a b c", "e"], labels, ["x", "z"], steps=2)
    facts = facts_of(data.fitted(torch.tensor([0, 1, 3])))
    assert (facts.texts, facts.cut, facts.empty, facts.repeated) == (7, 4, 1, 1)
    assert facts.seen == {"val": 1, "test": 1} and facts.sizes == {"train": 3, "val": 2, "test": 2}
    assert facts.untrained == ["z"]
    assert facts.unknown == {"train": 1 / 7, "val": 1 / 4, "test": 1 / 4}
    assert facts.remarks == [
        "4 of 7 texts are cut after dataset.steps=2",
        "1 text without a token: read as <unk>",
        "25.0% of the tokens of the held-out part are not in the vocabulary: read as <unk>",
        "25.0% of the tokens of the test part are not in the vocabulary: read as <unk>",
        "no training text has the class z: it is never predicted right",
        "texts that are also training texts: 1 of 2 in the held-out part, 1 of 2 in the test part; "
        "on new texts the accuracy is lower",
    ]


def test_nothing_special_is_not_mentioned():
    assert facts_of(fitted(["a", "b"], ["a b"])).remarks == []
