"""Text without capitals and marks, and its tags, give the text again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.tagging.styles import CASES, MARKS, NO_MARK, RESTORED, labels_of, parts, restored, stripped

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=6)
WRITTEN = st.tuples(WORDS, st.sampled_from([str, str.capitalize, str.upper]), st.sampled_from(["", *MARKS]))


@given(st.lists(WRITTEN, max_size=8))
def test_capitals_and_marks_come_back(pieces):
    text = " ".join(case(word) + mark for word, case, mark in pieces)
    words, tags = stripped(text)
    assert words == [word for word, *_ in pieces]
    assert restored(words, tags) == text


@given(st.text(max_size=30))
def test_any_text_has_a_tag_for_each_word(text):
    words, tags = stripped(text)
    assert len(words) == len(tags)
    assert all(word and not any(mark in word for mark in ",;:?!…") for word in words)
    assert {label for tag in tags for label in parts(tag)} <= {*CASES, *MARKS, NO_MARK}


@pytest.mark.parametrize(
    "text, words, tags",
    [
        ("'Well,' he said--\"I _do_.\"", "well he said i do", ["Capital ,", "lower", "lower", "Capital", "lower ."]),
        ("Don't! U.S.A... 3.14", "don't u.s.a 3.14", ["Capital !", "UPPER …", "lower"]),
        ("a well-known (man);", "a well-known man", ["lower", "lower", "lower ;"]),
        ("", "", []),
    ],
)
def test_quotes_brackets_and_dashes_are_left_out(text, words, tags):
    assert stripped(text) == (words.split(), tags)


def test_each_label_is_measured_for_itself():
    labels, places = labels_of(RESTORED, ["<unk>", "Capital ,", "lower ,", "lower"])
    assert labels == ["<unk>", "Capital", "lower", ",", NO_MARK]
    assert places == [(0, 0), (1, 3), (2, 3), (2, 4)]
