from __future__ import annotations

import json
import re
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.files import to_json
from d2lrun.errors import Refused
from d2lrun.text import corpus
from d2lrun.text.corpus import clean, number, tokenise, untokenise
from d2lrun.text.vocabulary import Vocabulary

words = st.lists(st.sampled_from(["a", "b", "c", "d", "the", "<unk>", "<pad>", "時"]), max_size=40)


# --- vocabulary ----------------------------------------------------------------------------------------------


@given(words, st.integers(0, 4), st.lists(st.sampled_from(["<pad>", "<bos>", "a"]), unique=True))
def test_a_vocabulary_is_unknown_reserved_then_falling_frequency(tokens, min_freq, reserved):
    expected = ["<unk>", *reserved]
    for token, frequency in Counter(tokens).most_common():  # of equal ones, the first seen comes first
        if frequency >= min_freq and token not in expected:
            expected.append(token)
    assert Vocabulary.of(Counter(tokens), min_freq, reserved).tokens == expected


def test_equally_common_tokens_stand_as_they_first_appear():
    assert Vocabulary.of(Counter("zaazmbbm")).tokens == ["<unk>", "z", "a", "m", "b"]


@given(words)
def test_encoding_and_decoding_give_back_known_tokens(tokens):
    vocabulary = Vocabulary.of(Counter(tokens))
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens


def test_what_is_unknown_is_index_0_and_can_be_listed():
    vocabulary = Vocabulary.of(Counter("aab"))
    assert vocabulary.encode(["b", "€", "a", "ß", "€"]) == [2, 0, 1, 0, 0]
    assert vocabulary.unknown(["b", "€", "a", "ß", "€"]) == ["€", "ß"]


@given(st.lists(st.text(), unique=True))
def test_a_vocabulary_survives_json(tokens):
    vocabulary = Vocabulary.of(Counter(tokens))
    assert Vocabulary.from_data(json.loads(to_json(vocabulary.to_data()))) == vocabulary


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (None, "wanted"),
        ([["<unk>"]], "wanted"),
        ({}, "wanted"),
        ({"tokens": "<unk>"}, "wanted"),
        ({"tokens": ["<unk>", 3]}, "wanted"),
        ({"tokens": []}, "the first token is not <unk>"),
        ({"tokens": ["a", "<unk>"]}, "the first token is not <unk>"),
        ({"tokens": ["<unk>", "a", "b", "a"]}, "'a' is in it twice"),
    ],
)
def test_a_damaged_vocabulary_is_refused(data, fault):
    with pytest.raises(ValueError, match=fault):
        Vocabulary.from_data(data)


# --- cleaning and tokens -------------------------------------------------------------------------------------


def test_letters_keeps_letters_in_lower_case_and_one_space_for_all_between():
    lines = ["  It's -- 1895,  ÉTÉ!\r\n", "\n", "____\r", "A"]
    assert clean("".join(lines), "letters") == ["it s t", "", "", "a"]


@given(st.text(st.sampled_from("aZé 3.\n\r\u2028\x0c")))
def test_letters_is_the_plain_rule_for_each_line(text):
    lines = re.split("\r\n|\r|\n", text)
    if lines[-1] == "":
        lines.pop()  # the end of a line begins no other
    plain = ["".join(c if c in "abcdefghijklmnopqrstuvwxyz" else " " for c in line.replace("Z", "z")) for line in lines]
    assert clean(text, "letters") == [" ".join(line.split()) for line in plain]


@given(st.text(st.sampled_from("aÄ時 3.\n\u2028\x0c𝒳")))
def test_none_loses_nothing(text):
    assert "".join(clean(text, "none")) == text


def test_lower_keeps_all_but_the_case():
    assert clean("ÉTÉ 1895,\r\n時 A", "lower") == ["été 1895,\n", "時 a"]


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [("char", [["a", " ", "時", "𝒳"], [], ["b"]]), ("word", [["a", "時𝒳"], [], ["b"]])],
)
def test_tokens_come_line_by_line(kind, tokens):
    assert list(tokenise(["a 時𝒳", "", "b"], kind)) == tokens


def test_tokens_become_text_again():
    assert untokenise("the time", "char") == "the time"
    assert untokenise(["the", "time"], "word") == "the time"
    assert untokenise(["时间", "旅行者"], "jieba") == "时间旅行者"


def test_a_prefix_loses_no_character_but_its_case():
    assert corpus.prefix_tokens("Time 3 ", "char", "letters") == list("time 3 ")
    assert corpus.prefix_tokens("Time 3", "char", "none") == list("Time 3")
    assert corpus.prefix_tokens("The time-machine ", "word", "letters") == ["the", "time-machine"]
    assert corpus.prefix_tokens("", "char", "lower") == []


def test_without_jieba_the_refusal_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    corpus.chinese_words.cache_clear()
    with pytest.raises(Refused, match="jieba is not installed") as caught:
        list(tokenise(["时间"], "jieba"))
    assert caught.value.hint == "pip install 'd2lrun[zh]'"


# --- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["char", "word"])
@given(lines=st.lists(st.text(st.sampled_from("ab é時\n𝒳\ud800"))))
def test_numbers_are_those_of_plain_counting(kind, lines):
    tokens = [token for line in lines for token in (line if kind == "char" else line.split())]
    counts, stream, begins = number(lines, kind)
    text = "".join(lines)
    places = range(len(text)) if kind == "char" else list(begins)
    assert [text[place : place + len(token)] for place, token in zip(places, tokens, strict=True)] == tokens
    assert list(counts.items()) == list(Counter(tokens).items())
    assert stream.dtype == np.int32
    assert [list(counts)[place] for place in stream] == tokens


def test_a_text_longer_than_a_block_is_whole(monkeypatch):
    monkeypatch.setattr(corpus, "BLOCK", 3)
    for length in range(11):
        text = "時間a機械𝒳b"[:length] * 2
        counts, stream, _ = number([text], "char")
        assert "".join(list(counts)[place] for place in stream) == text
