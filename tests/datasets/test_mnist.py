"""MNIST and Kuzushiji-MNIST, from small files of the same form."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
from dataclasses import replace

import pytest

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.datasets import kmnist, mnist
from d2lrun.datasets.idx import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused


def numbers(*shape):
    header = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return header + bytes(at % 10 for at in range(math.prod(shape)))


CONTENT = {
    TRAIN_IMAGES: numbers(20, 3, 5),
    TRAIN_LABELS: numbers(20),
    TEST_IMAGES: numbers(8, 3, 5),
    TEST_LABELS: numbers(8),
}
PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENT.items()}
FILES = {
    mnist: replace(mnist.FILES, sums={name: sha256(content) for name, content in CONTENT.items()}),
    kmnist: replace(kmnist.FILES, sums={name: hashlib.md5(content).hexdigest() for name, content in PACKED.items()}),
}


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)


def put(folder):
    folder.mkdir(parents=True)
    for name, content in PACKED.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("module", [mnist, kmnist])
def test_a_folder_of_torchvision_is_found(module, tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path))
    raw = put(tmp_path / ("MNIST" if module is mnist else "KMNIST") / "raw")
    data = module.load(None, (), files=FILES[module])
    assert data.train_images.shape == (20, 1, 3, 5) and data.test_images.shape == (8, 1, 3, 5)
    assert data.train_images.flatten().tolist() == [at % 10 for at in range(300)]
    assert data.train_labels.tolist() == [*range(10)] * 2 and data.test_labels.tolist() == [*range(8)]
    assert data.classes == module.CLASSES and len(data.classes) == 10
    assert data.source in (str(raw), str(tmp_path / "cache" / "mnist"))


@pytest.mark.parametrize("module", [mnist, kmnist])
def test_the_files_are_fetched_once_and_kept(module, mirror):
    mirror.pages.update({f"/{name}": content for name, content in PACKED.items()})
    one = module.load(None, [mirror.url], files=FILES[module])
    mirror.pages.clear()
    two = module.load(None, [mirror.url], files=FILES[module])
    assert one.contents[0].sha256 == two.contents[0].sha256 and one.pools == two.pools


@pytest.mark.parametrize(("module", "kind"), [(mnist, "sha256"), (kmnist, "md5")])
def test_other_files_are_refused_with_their_address(module, kind, mirror):
    mirror.pages.update(dict.fromkeys((f"/{name}" for name in PACKED), gzip.compress(b"another")))
    with pytest.raises(Refused) as caught:
        module.load(None, [mirror.url])
    assert f"{mirror.url}/train-images-idx3-ubyte.gz: {kind} differs" in str(caught.value)
    assert "connect to the network and repeat the command" in caught.value.hint


@pytest.mark.parametrize("name", ["mnist", "kmnist", "cifar10", "hotdog"])
def test_the_form_of_what_is_verified_needs_no_file(name):
    side = {"cifar10": 32, "hotdog": 224}.get(name, 28)
    for words, wanted in (([], side), (["dataset.resize=40"], 40)):
        (channels, height, width), classes = datasets.form(compose(["model=mlp", f"dataset={name}", *words]))
        assert (height, width) == (wanted, wanted)
        assert (channels, classes) == ({"cifar10": 3, "hotdog": 3}.get(name, 1), 2 if name == "hotdog" else 10)


def test_a_damaged_packed_file_is_refused(tmp_path):
    folder = put(tmp_path / "mine")
    content = PACKED[f"{TRAIN_IMAGES}.gz"][:-9]
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(content)
    sums = FILES[kmnist].sums | {f"{TRAIN_IMAGES}.gz": hashlib.md5(content).hexdigest()}
    with pytest.raises(Refused, match="gzip data ends too early"):
        kmnist.load(str(folder), (), files=replace(FILES[kmnist], sums=sums))
