"""The datasets of tagged sentences: the user's files, People's Daily, and text to be restored."""

from __future__ import annotations

from dataclasses import replace

import pytest

from d2lrun.datasets import people_daily, restore, tagged_text
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

OWN = {"encoding": "utf-8", "format": "auto", "token": 1, "tag": -1}
CHINESE = "".join(f"我/r 爱/v 北京{n}/ns 。/w\n" for n in range(200)).encode()
FILES = replace(people_daily.FILES, sums={people_daily.FILE: sha256(CHINESE)})


def sentences(data, name="train"):
    pool = data.sentences(name)
    words, tags = (
        [[texts[n] for n in part[i]] for i in range(len(part))]
        for part, texts in ((pool.words, data.words), (pool.tags, data.tags))
    )
    return [list(zip(*pair)) for pair in zip(words, tags)]


def test_files_of_both_formats_and_a_test_file(tmp_path):
    (tmp_path / "a.conll").write_bytes("\ufeffEU\tNNP\r\n\r\n.\t.\r\n".encode())
    (tmp_path / "b.txt").write_text("a/X b/Y\n\n")
    (tmp_path / "t.txt").write_text("a/X\n")
    paths, said = [str(tmp_path / name) for name in ("a.conll", "b.txt", "t.txt")], []
    data = tagged_text.load(paths[:2], paths[2], say=said.append, **OWN)
    assert sentences(data) == [[("EU", "NNP")], [(".", ".")], [("a", "X"), ("b", "Y")]]
    assert sentences(data, "test") == [[("a", "X")]]
    assert [each.origin for each in data.contents] == paths
    assert said[0] == f"{paths[0]}: 2 sentences in the format columns"


@pytest.mark.parametrize(
    "content, named", [(b"a X\nb\n", "line 2: 1 column"), (b"\xff\xfe", "not UTF-8"), (b"\n", "empty")]
)
def test_a_bad_file_is_named_with_its_line(tmp_path, content, named):
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(Refused, match=named) as caught:
        tagged_text.load([str(tmp_path / "bad.txt")], None, **OWN)
    assert "bad.txt" in str(caught.value)


def test_without_a_path_there_is_nothing_to_read():
    with pytest.raises(Refused, match=r"dataset=tagged-text needs dataset\.path"):
        tagged_text.load([], None, **OWN)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the file; without the user's data, cache and packages."""
    (tmp_path / "data" / "people-daily").mkdir(parents=True)
    (tmp_path / "data" / "people-daily" / people_daily.FILE).write_bytes(CHINESE)
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    monkeypatch.setattr(people_daily, "installed", lambda *names: (_ for _ in ()).throw(Refused("not installed", "")))
    return tmp_path / "data"


@pytest.mark.parametrize("way", ["dir", "variable", "package"])
def test_the_peoples_daily_is_found(folder, way, monkeypatch):
    file = folder / "people-daily" / people_daily.FILE
    if way == "variable":
        monkeypatch.setenv("D2LRUN_DATA", str(folder))
    elif way == "package":
        monkeypatch.setattr(people_daily, "installed", lambda *names: file)
    data = people_daily.load(str(file.parent) if way == "dir" else None, files=FILES)
    assert data.source == str(file)
    parts = [
        {"".join(word for word, _ in sentence) for sentence in sentences(data, name)} for name in ("train", "test")
    ]
    assert 5 < len(parts[1]) < 45 and len(parts[0]) + len(parts[1]) == 200 and not parts[0] & parts[1]
    assert people_daily.is_test(["我", "爱", "北京0", "。"]) == ("我爱北京0。" in parts[1])


def test_without_the_package_the_command_is_named(folder):
    with pytest.raises(Refused, match=r"people-daily: no good 199801\.txt") as caught:
        people_daily.load(None)
    assert "`pip install 'd2lrun[reviews]'`" in caught.value.hint
    assert "dataset.dir=FOLDER" in caught.value.hint


def test_passages_do_not_overlap_and_every_fifth_tests(tmp_path):
    (tmp_path / "own.txt").write_text(" ".join(f"Word{'x' * n}, and" for n in range(10)))
    data = restore.load([str(tmp_path / "own.txt")], "utf-8", None, [], steps=2)
    assert sentences(data)[0] == [("word", "Capital ,"), ("and", "lower")]
    assert sentences(data, "test")[0] == [("wordxxxx", "Capital ,"), ("and", "lower")]
    assert (len(data.train.words), len(data.test.words)) == (8, 2)


@pytest.mark.parametrize("dir, named", [("folder", "wanted one of them"), (None, "1 passage of 64 words")])
def test_a_text_that_is_too_short_or_named_twice_is_refused(tmp_path, dir, named):
    (tmp_path / "own.txt").write_text("Hello, world.")
    with pytest.raises(Refused, match=named):
        restore.load([str(tmp_path / "own.txt")], "utf-8", dir, [], steps=64)
