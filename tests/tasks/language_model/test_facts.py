from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.language_model.facts import ORDERS, facts_of, grams, words_of
from d2lrun.text.corpus import clean
from d2lrun.text.vocabulary import Vocabulary

TEXT = "The cat, the dog\n\nand the\ncat -- the cat!"


def test_lines_tokens_types_and_words_of_a_small_text():
    found = facts_of(clean(TEXT, "letters"), "char", Vocabulary.of(Counter("the cat")))
    assert (found.lines, found.empty, found.words) == (4, 1, 9)
    assert (found.tokens, found.types, found.vocabulary) == (33, len(set("thecadogn ")), 7)


def test_tokens_of_words():
    found = facts_of(clean(TEXT, "letters"), "word", Vocabulary.of({"the": 4}))
    assert (found.tokens, found.types, found.vocabulary, found.words) == (9, 4, 2, 9)


def test_lines_of_space_alone_are_empty():
    assert facts_of(clean("a\n \n\u3000\n\nb", "none"), "char", Vocabulary.of({})).empty == 3


def test_sequences_run_on_over_the_ends_of_lines():
    found = facts_of(clean(TEXT, "letters"), "word", Vocabulary.of({}))
    assert found.grams["unigrams"].commonest == [("the", 4), ("cat", 3), ("dog", 1), ("and", 1)]
    assert found.grams["bigrams"].commonest[:2] == [("the cat", 3), ("cat the", 2)]
    assert dict(found.grams["bigrams"].commonest)["dog and"] == 1


@given(st.lists(st.sampled_from("abc"), max_size=40), st.sampled_from(list(ORDERS.values())))
def test_sequences_are_those_of_plain_counting(words, order):
    counts = {}
    for start in range(len(words) - order + 1):
        gram = " ".join(words[start : start + order])
        counts[gram] = counts.get(gram, 0) + 1
    found = grams(words, order)
    ranked = sorted(counts.items(), key=lambda item: -item[1])  # stable: the first seen comes first
    assert found.commonest == ranked[:10]
    assert found.frequencies == [count for _, count in ranked]
    assert found.types == len(counts)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("the time-machine, 1895", ["the", "time-machine,", "1895"]),
        ("时间 旅行者", ["时", "间", "旅", "行", "者"]),
        ("说hello了\u3000かな", ["说", "hello", "了", "か", "な"]),
        ("", []),
    ],
)
def test_words_of_characters_are_parted_by_spaces_but_chinese_ones_stand_alone(line, words):
    assert words_of([line], "char") == words
