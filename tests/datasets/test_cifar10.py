"""CIFAR-10, from a small archive of the same layout."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from d2lrun.datasets import cifar10
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

NAMES = [*cifar10.TRAIN, *cifar10.TEST]
ROWS = np.random.default_rng(1).integers(0, 256, (2 * len(NAMES), 3073)).astype(np.uint8)
ROWS[:, 0] = np.arange(len(ROWS)) % 10
CONTENT = {name: ROWS[2 * at : 2 * at + 2].tobytes() for at, name in enumerate(NAMES)}


def archive(contents, folder=cifar10.FOLDER, kind=tarfile.REGTYPE):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {"readme.html": b"about", **contents}.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.type, member.linkname = len(content), kind, "/etc/hostname"
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def load(folder, content, digest=hashlib.md5):
    (folder / cifar10.ARCHIVE).write_bytes(content)
    sums = {cifar10.ARCHIVE: digest(content).hexdigest()}
    return cifar10.load(str(folder), (), files=replace(cifar10.FILES, sums=sums))


@pytest.mark.parametrize("digest", [hashlib.md5, hashlib.sha1, hashlib.sha256])
def test_the_images_are_read_from_the_archive(tmp_path, digest):
    content = archive(CONTENT)
    data = load(tmp_path, content, digest)
    assert data.train_images.shape == (10, 3, 32, 32) and data.test_images.shape == (2, 3, 32, 32)
    assert data.train_images.flatten().tolist() == ROWS[:10, 1:].flatten().tolist()
    assert data.train_labels.tolist() == [*range(10)] and data.test_labels.tolist() == [0, 1]
    assert data.contents[0].sha256 == sha256(content)


def test_the_order_of_the_members_does_not_matter(tmp_path):
    one, other = load(tmp_path, archive(CONTENT)), load(tmp_path, archive(dict(reversed(CONTENT.items()))))
    assert one.pool("train") == other.pool("train") and one.pool("test") == other.pool("test")


def test_it_is_fetched_from_a_mirror_and_kept(tmp_path, mirror, monkeypatch):
    content = archive(CONTENT)
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    mirror.pages[f"/{cifar10.ARCHIVE}"] = content
    files = replace(cifar10.FILES, sums={cifar10.ARCHIVE: hashlib.md5(content).hexdigest()})
    cifar10.load(None, [mirror.url], files=files)
    assert (tmp_path / "cache" / "cifar10" / cifar10.ARCHIVE).read_bytes() == content
    with pytest.raises(Refused, match="md5 differs"):
        cifar10.load(None, [mirror.url])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (archive(CONTENT)[:-200], "end"),
        (archive({name: CONTENT[name] for name in NAMES[:-1]}), "no cifar-10-batches-bin/test_batch.bin"),
        (archive(CONTENT, folder="../cifar-10-batches-bin"), "no cifar-10-batches-bin/data_batch_1.bin"),
        (archive(dict.fromkeys(NAMES, b""), kind=tarfile.SYMTYPE), "no cifar-10-batches-bin/data_batch_1.bin"),
        (archive(CONTENT | {"data_batch_2.bin": b"123"}), "wanted multiples of 3,073"),
        (archive(CONTENT | {"test_batch.bin": b""}), "wanted multiples of 3,073"),
        (archive(CONTENT | {"test_batch.bin": bytes([10] * 3073)}), "a label is 10, wanted at most 9"),
        (b"no archive", "not a gzip file"),
    ],
)
def test_an_archive_of_another_form_is_refused(tmp_path, content, error):
    with pytest.raises(Refused, match=error) as caught:
        load(tmp_path, content)
    assert str(tmp_path / cifar10.ARCHIVE) in str(caught.value) and cifar10.ARCHIVE in caught.value.hint


@pytest.mark.parametrize("limit", ["LARGEST", "MOST"])
def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(cifar10, limit, 6000)
    with pytest.raises(Refused, match="bytes, 6,151 with those before"):
        load(tmp_path, archive(CONTENT))
