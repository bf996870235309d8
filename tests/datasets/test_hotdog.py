"""The book's hot dogs, from a small archive of the same layout, and how an archive is unpacked."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from dataclasses import replace

import pytest
from PIL import Image

from d2lrun.datasets import hotdog
from d2lrun.disk import archive
from d2lrun.disk.download import Found
from d2lrun.errors import Refused


def picture(shade):
    content = io.BytesIO()
    Image.new("RGB", (6, 5), (shade, 0, 0)).save(content, "png")
    return content.getvalue()


def zipped(contents):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, content in {"hotdog/": b"", **contents}.items():
            file.writestr(zipfile.ZipInfo(name), content)  # without the time of now: equal contents, equal bytes
    return packed.getvalue()


PICTURES = {
    f"hotdog/{part}/{name}/{number}.png": picture(40 * number + 20 * (part == "test") + (name == "hotdog"))
    for part, count in (("train", 3), ("test", 2))
    for name in ("hotdog", "not-hotdog")
    for number in range(count)
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    return tmp_path / "cache" / "hotdog"


def load(folder, content, say=lambda line: None):
    (folder / hotdog.ARCHIVE).write_bytes(content)
    files = replace(hotdog.FILES, sums={hotdog.ARCHIVE: hashlib.sha1(content).hexdigest()})
    return hotdog.load(str(folder), 4, "crop", (), say=say, files=files)


def test_the_archive_is_a_folder_of_pictures(tmp_path):
    data = load(tmp_path, zipped(PICTURES))
    assert data.name == "hotdog" and data.classes == ("hotdog", "not-hotdog") and data.inputs == (3, 4, 4)
    assert data.train_labels.bincount().tolist() == [3, 3] and data.test_labels.bincount().tolist() == [2, 2]


def test_it_is_unpacked_once(tmp_path, cache):
    said = []
    for _ in range(2):
        load(tmp_path, zipped(PICTURES), said.append)
    assert len([line for line in said if line.startswith("unpacking")]) == 1
    assert sorted(path.name for path in cache.iterdir() if not path.name.startswith(".")) == [
        hashlib.sha256((tmp_path / hotdog.ARCHIVE).read_bytes()).hexdigest()[:16]
    ]


def test_what_a_killed_start_left_is_not_used(tmp_path, cache):
    (cache / ".unpacking" / "hotdog" / "train" / "hotdog").mkdir(parents=True)
    (cache / ".unpacking" / "hotdog" / "train" / "hotdog" / "9.png").write_bytes(b"half")
    assert len(load(tmp_path, zipped(PICTURES)).train_labels) == 6


def test_no_member_is_written_outside(tmp_path, cache):
    evil = ["../evil.png", "/evil.png", "hotdog/train/../../../evil.png", "hotdog/train/hotdog/../evil.png"]
    evil += ["hotdog/train/hotdog/.hidden.png", "hotdog/train/hotdog/a\\b.png", "hotdog/train/hotdog/c:evil.png"]
    load(tmp_path, zipped(PICTURES | dict.fromkeys(evil, b"evil")))
    written = {path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil"}
    assert written == set()


def test_an_archive_without_the_pictures_is_refused(tmp_path, cache):
    for content in (zipped({"other.txt": b""}), b"no archive", zipped(PICTURES)[:-30]):
        with pytest.raises(Refused, match=re.escape(str(tmp_path / hotdog.ARCHIVE))):
            load(tmp_path, content)
    assert [path for path in cache.rglob("*") if path.suffix == ".png"] == []


@pytest.mark.parametrize("limit", ["LARGEST", "MOST"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(archive, limit, 50)
    with pytest.raises(Refused, match="10 files of the names that are wanted"):
        load(tmp_path, zipped(PICTURES))


def test_a_cache_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "file"))
    with pytest.raises(Refused) as caught:
        archive.unpacked(Found(bytearray(zipped(PICTURES)), "mine.zip", "0" * 64), "hotdog", hotdog.MEMBER, print)
    assert "D2LRUN_CACHE" in caught.value.hint
