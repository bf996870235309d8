"""Chinese words, by the library of the extra ``zh``."""

from __future__ import annotations

import marshal
import tempfile

import pytest

from d2lrun.tasks.language_model.build import build
from d2lrun.tasks.language_model.facts import facts_of
from d2lrun.text import corpus
from d2lrun.text.corpus import chinese_words, clean, tokenise, untokenise
from d2lrun.text.vocabulary import Vocabulary

TEXT = "我来到北京清华大学，时间 旅行者(for so it will)说：2020年3.14！\r\n\n第二行　全角\n"


@pytest.fixture(autouse=True, scope="module")
def segmentation():
    chinese_words.cache_clear()
    yield
    chinese_words.cache_clear()  # its dictionary takes 100 MB


def test_words_are_found():
    (tokens,) = tokenise(["我来到北京清华大学"], "jieba")
    assert tokens == ["我", "来到", "北京", "清华大学"]


@pytest.mark.parametrize("rule", ["none", "lower"])
def test_no_character_is_lost(rule):
    lines = clean(TEXT, rule)
    tokens = [token for line in tokenise(lines, "jieba") for token in line]
    assert untokenise(tokens, "jieba") == TEXT.replace("\r\n", "\n")


def test_a_dataset_of_chinese_words():
    preparation = {"min_freq": 0, "reserved": [], "max_tokens": None}
    data = build("text", TEXT * 3, "here", kind="jieba", rule="none", **preparation)
    assert "清华大学" in data.vocabulary.tokens
    assert "".join(data.vocabulary.decode(data.tokens.tolist())) == (TEXT * 3).replace("\r\n", "\n")
    assert corpus.prefix_tokens("北京清华大学", "jieba", "none") == ["北京", "清华大学"]


def test_words_are_counted_without_the_spaces():
    lines = clean("时间 旅行者\n时间", "none")
    found = facts_of(lines, "jieba", Vocabulary.of({}))
    assert found.words == 3
    assert found.grams["unigrams"].commonest == [("时间", 2), ("旅行者", 1)]


def test_what_lies_in_the_shared_temporary_folder_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "jieba.cache").write_bytes(marshal.dumps(({"我来到北": 10**9}, 10**9)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    chinese_words.cache_clear()
    assert list(chinese_words()("我来到北京")) == ["我", "来到", "北京"]
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]


def test_nothing_is_said(capfd):
    chinese_words.cache_clear()
    list(tokenise(["我来到北京"], "jieba"))
    assert capfd.readouterr() == ("", "")
