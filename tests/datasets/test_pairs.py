from __future__ import annotations

import pytest

from d2lrun.datasets.pairs import load
from d2lrun.errors import Refused

GIVEN = {
    **{"encoding": "utf-8", "source_kind": "word", "target_kind": "char", "rule": "lower", "max_pairs": None},
    **{"held_out": False, "min_freq": 1, "steps": None, "batches": "by_length", "loss": "token"},
    "metric": "perplexity",
}


def file(tmp_path, content, name="pairs.tsv"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)


def test_files_with_a_mark_and_any_line_ends_are_read(tmp_path):
    one = file(tmp_path, "\ufeffGo  now\tЖ\r\nHi\t时间".encode())
    two = file(tmp_path, b"Go  now\tb\tthird\n\n", "more.tsv")
    said = []
    data = load([one, two], **GIVEN, say=said.append)
    assert data.part("train").cases() == {"go now": ["ж", "b"], "hi": ["时间"]}
    assert "时" in data.targets.vocabulary.tokens and "go" in data.sources.vocabulary.tokens
    assert said == [f"{two}: the third column of 1 line is ignored"]
    assert data.source == f"{one}, {two}" and len(data.contents) == 2


@pytest.mark.parametrize(
    "content, words",
    [
        (b"a\tb\nno tab\n", "line 2: no tab"),
        (b"a\t\n", "no pair of sentences"),
        (b"caf\xe9\tb\n", "not UTF-8"),
        (b"\n \n", "is empty"),
    ],
)
def test_a_faulty_file_is_refused_by_its_name(tmp_path, content, words):
    path = file(tmp_path, content)
    with pytest.raises(Refused, match=words) as caught:
        load([path], **GIVEN)
    assert path in str(caught.value)


def test_chinese_words_are_found_by_jieba(tmp_path):
    pytest.importorskip("jieba")
    data = load([file(tmp_path, "我来到北京\tto Beijing\n".encode())], **{**GIVEN, "source_kind": "jieba"})
    assert data.sources.vocabulary.tokens[4:] == ["我", "来到", "北京"]
