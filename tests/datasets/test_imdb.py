"""IMDb, from a small archive of the same layout."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest

from d2lrun.datasets import imdb
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

REVIEWS = {
    "train/pos/0_9.txt": "good <br />",
    "train/pos/10_7.txt": "finé",
    "train/pos/2_8.txt": "nice",
    "train/neg/0_1.txt": "bad",
    "test/pos/0_10.txt": "good",
    "test/neg/0_2.txt": "awful",
}
OTHERS = {"train/unsup/0_0.txt": "no label", "imdb.vocab": "the", "train/labeledBow.feat": "9 0:9"}


def archive(files, top="aclImdb/", mode="w:gz", more=()):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}{name}")
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in more:
            tar.addfile(member)
    return content.getvalue()


def load(folder, content, **limits):
    (folder / imdb.ARCHIVE).write_bytes(content)
    return imdb.load(str(folder), (), "word", "none", files=replace(imdb.FILES, sums={imdb.ARCHIVE: sha256(content)}))


def test_the_reviews_are_read_from_the_archive(tmp_path):
    content = archive({**OTHERS, **REVIEWS})
    data = load(tmp_path, content)
    assert data.classes == ("negative", "positive")
    assert data.texts == {"train": ["bad", "good <br />", "nice", "finé"], "test": ["awful", "good"]}
    assert [labels.tolist() for labels in data.labels.values()] == [[0, 1, 1, 1], [0, 1]]
    assert data.contents[0].sha256 == sha256(content)


def test_the_published_archive_stays_packed_and_is_verified(tmp_path):
    (tmp_path / imdb.ARCHIVE).write_bytes(archive(REVIEWS))
    with pytest.raises(Refused, match="sha256 differs"):
        imdb.load(str(tmp_path), (), "word", "none")


def test_it_is_fetched_from_a_mirror_and_kept(tmp_path, mirror, monkeypatch):
    content = archive(REVIEWS)
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    mirror.pages[f"/{imdb.ARCHIVE}"] = content
    files = replace(imdb.FILES, sums={imdb.ARCHIVE: sha256(content)})
    for _ in range(2):
        assert len(imdb.load(None, [mirror.url], "word", "none", files=files).texts["train"]) == 4
    assert mirror.requests == {f"/{imdb.ARCHIVE}": 1}
    assert (tmp_path / "cache" / "imdb" / imdb.ARCHIVE).read_bytes() == content


def link():
    member = tarfile.TarInfo("aclImdb/train/pos/77_7.txt")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


def test_a_link_in_the_archive_is_not_followed(tmp_path):
    assert len(load(tmp_path, archive(REVIEWS, more=[link()])).texts["train"]) == 4


@pytest.mark.parametrize(
    "content, message",
    [
        (archive(REVIEWS, top="other/"), "wanted files aclImdb/train/neg"),
        (archive({name: text for name, text in REVIEWS.items() if "test" not in name}), "wanted files aclImdb/test"),
        (archive(REVIEWS)[:-40], ""),
        (b"no archive", ""),
        (archive({**REVIEWS, "train/pos/9_9.txt": "x" * (1 << 20) + "x"}), "9_9.txt has 1,048,577 bytes"),
    ],
)
def test_an_archive_of_another_form_is_refused(tmp_path, content, message):
    with pytest.raises(Refused) as caught:
        load(tmp_path, content)
    assert imdb.ARCHIVE in str(caught.value) and message in str(caught.value)


def test_an_archive_that_grows_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(imdb, "MOST", 1000)
    with pytest.raises(Refused, match="with those before"):
        load(tmp_path, archive({"big": "x" * 2000, **REVIEWS}))
