from __future__ import annotations

import os

import pytest

from d2lrun.datasets import text
from d2lrun.disk import texts
from d2lrun.errors import Refused

PREPARATION = {
    **{"kind": "char", "rule": "none", "min_freq": 0, "reserved": []},
    "max_tokens": None,
}


def load(path, encoding="utf-8", **changes):
    return text.load(path, encoding, **{**PREPARATION, **changes})


def content(data):
    return "".join(data.vocabulary.decode(data.tokens.tolist()))


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file; returns its path."""

    def write(given: bytes, name: str = "mine.txt") -> str:
        (tmp_path / name).write_bytes(given)
        return str(tmp_path / name)

    return write


def test_a_file_is_read_as_it_is(file):
    path = file("时间旅行者\nÉté 𝒳".encode())
    data = load(path)
    assert content(data) == "时间旅行者\nÉté 𝒳"
    assert (data.name, data.source) == ("text", path)


def test_several_files_follow_each_other_and_none_runs_into_the_next(file):
    paths = [file(b"one", "1"), file(b"two\n", "2"), file(b"three", "3")]
    data = load(paths)
    assert content(data) == "one\ntwo\nthree"
    assert data.source == ", ".join(paths)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "big5", "utf-16", "utf-16-le", "UTF_32", "GBK"])
def test_other_encodings_are_read_when_named(file, encoding):
    assert content(load(file("時間旅行者, 1895".encode(encoding)), encoding)) == "時間旅行者, 1895"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_the_byte_order_mark_is_no_part_of_the_text(file, encoding):
    assert content(load(file("时间旅行者说".encode(encoding)), encoding.removesuffix("-sig"))) == "时间旅行者说"


def test_the_ends_of_lines_of_other_systems_are_those_of_this_one(file):
    assert content(load(file(b"one\r\ntwo\rthree\n"))) == "one\ntwo\nthree\n"


def test_a_path_begins_at_home(file, tmp_path, monkeypatch):
    file(b"at home")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert content(load("~/mine.txt")) == "at home"


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
FAULTS = {
    "empty": (b"", "utf-8", "is empty", "text in it"),
    "blank": (b" \n\t\n", "utf-8", "is empty", "text in it"),
    "binary": (PNG, "utf-8", "is binary: byte 8 is NUL", "a plain text file"),
    "binary in any encoding": (PNG, "latin-1", "is binary: byte 8 is NUL", "a plain text file"),
    "binary in a wide one": ("ab\0c".encode("utf-16"), "utf-16", "is binary: character 2 is NUL", "a plain text"),
    "UTF-16 not named": ("abc".encode("utf-16"), "utf-8", "is binary: byte 3 is NUL", "dataset.encoding=utf-16"),
    "not UTF-8": (b"caf\xe9 au lait", "utf-8", "byte 3 (0xe9) is not UTF-8", "dataset.encoding=…"),
    "not UTF-8 after a mark": (b"\xef\xbb\xbfcaf\xe9", "utf-8", "byte 6 (0xe9) is not UTF-8", "gb18030"),
    "cut in a character": ("时间".encode()[:-1], "utf-8", "byte 3 (0xe9) is not UTF-8", "dataset.encoding=…"),
    "not ASCII": ("abc é".encode(), "ascii", "byte 4 (0xc3) is not ASCII", "dataset.encoding=…"),
    "no such encoding": (b"abcdef", "uft-8", "dataset.encoding=uft-8", "gb18030"),
    "no encoding of text": (b"abcdef", "zip", "dataset.encoding=zip", "gb18030"),
    "not even a name": (b"abcdef", "a\0b", "dataset.encoding=a\0b", "gb18030"),
}


@pytest.mark.parametrize(("given", "encoding", "fault", "hint"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_with_the_file_and_a_hint(file, given, encoding, fault, hint):
    path = file(given)
    with pytest.raises(Refused) as caught:
        load(path, encoding)
    assert fault in str(caught.value)
    assert path in str(caught.value) or "encoding=" in fault
    assert hint in caught.value.hint


def test_the_faulty_one_of_several_files_is_named(file):
    good, bad = file(b"good text", "good"), file(b"", "bad")
    with pytest.raises(Refused) as caught:
        load([good, bad])
    assert str(caught.value) == f"{bad} is empty"


@pytest.mark.parametrize("path", [None, [], ""])
def test_a_path_is_needed(path):
    with pytest.raises(Refused):
        load(path)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match="No such file or directory"):
        load(str(tmp_path / "none.txt"))
    with pytest.raises(Refused, match="null"):
        load("a\0b")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(Refused, match="is a folder"):
        load(str(tmp_path))


def test_an_endless_file_is_not_begun():
    with pytest.raises(Refused, match="is no ordinary file"):
        load(os.devnull)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "huge.txt"
    with open(path, "wb") as huge:
        huge.truncate(texts.LIMIT + 1)  # takes no room on the disk
    with pytest.raises(Refused, match="1,073,741,825 bytes, wanted at most 1,073,741,824"):
        load(str(path))


def test_the_limit_is_that_of_all_files_together(file, monkeypatch):
    monkeypatch.setattr(texts, "LIMIT", 12)
    one, two = file(b"123456", "one"), file(b"1234567", "two")
    assert len(load([one, one]).tokens) == 13
    with pytest.raises(Refused, match=r"two: 7 bytes, wanted at most 12 in all"):
        load([one, two])
