from __future__ import annotations

import gzip
import math
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch

from d2lrun import datasets
from d2lrun.config.keys import VARIANTS
from d2lrun.datasets import fashion_mnist
from d2lrun.datasets.fashion_mnist import FILES, TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from d2lrun.disk.files import sha256
from d2lrun.disk.locate import Files
from d2lrun.errors import Refused


def idx(*shape: int, values=None) -> bytes:
    values = [at % 10 for at in range(math.prod(shape))] if values is None else values
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + bytes(values)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small Fashion-MNIST: 20 + 8 images of 3 × 5; nothing else is to be found."""
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("D2LRUN_DATA", raising=False)
    contents = {
        TRAIN_IMAGES: idx(20, 3, 5, values=np.random.default_rng(0).integers(0, 256, 300).astype(np.uint8)),
        TRAIN_LABELS: idx(20),
        TEST_IMAGES: idx(8, 3, 5),
        TEST_LABELS: idx(8),
    }
    (tmp_path / "data").mkdir()
    for name, content in contents.items():
        (tmp_path / "data" / name).write_bytes(content)
    return tmp_path / "data"


def proved(folder) -> Files:
    """What would be Fashion-MNIST, were it the content of ``folder``."""
    return replace(FILES, sums={path.name: sha256(path) for path in folder.iterdir()}, system=None)


def check_small(dataset, folder) -> None:
    assert dataset.train_images.dtype == torch.uint8
    assert dataset.train_images.shape == (20, 1, 3, 5)
    assert dataset.test_images.shape == (8, 1, 3, 5)
    assert dataset.train_images.flatten().tolist() == list((folder / TRAIN_IMAGES).read_bytes()[16:])
    assert dataset.train_labels.dtype == torch.int64
    assert dataset.train_labels.tolist() == [*range(10)] * 2
    assert dataset.test_labels.tolist() == [*range(8)]
    assert dataset.source == str(folder)


def test_loads_what_is_proved(folder):
    check_small(fashion_mnist.load(str(folder), True, [], files=proved(folder)), folder)


def test_loads_any_files_of_the_form_without_verify(folder, tmp_path):
    check_small(fashion_mnist.load(str(folder), False, []), folder)
    assert not (tmp_path / "cache").exists()


def test_own_files_may_be_packed(folder):
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    dataset = fashion_mnist.load(str(folder), False, [])
    assert dataset.train_labels.tolist() == [*range(10)] * 2


def test_other_files_are_refused_with_verify(folder):
    with pytest.raises(Refused) as caught:
        fashion_mnist.load(str(folder), True, [], files=replace(FILES, system=None))
    for name in (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS):
        assert f"{folder / name}: sha256 differs" in str(caught.value)
    assert "dataset.verify=false" in caught.value.hint
    assert fashion_mnist.load(str(folder), False, []).source == str(folder)  # the hint works


def test_the_config_group_loads_through_the_table(folder):
    config = VARIANTS["dataset"]["fashion-mnist"](
        name="fashion-mnist", dir=str(folder), verify=False, mirrors=[], resize=None, channels=1, normalise="none"
    )
    dataset = datasets.load(config)
    assert (dataset.name, dataset.outputs, dataset.inputs) == ("data", 10, (1, 3, 5))


def test_classes_of_the_published_files_have_their_names(folder):
    assert fashion_mnist.load(str(folder), False, [], files=proved(folder)).classes == fashion_mnist.CLASSES


@pytest.mark.parametrize("largest", [0, 1, 25, 255])
@pytest.mark.parametrize("part", [TRAIN_LABELS, TEST_LABELS])
def test_classes_of_other_files_are_numbers(folder, part, largest):
    (folder / TRAIN_LABELS).write_bytes(idx(20, values=[0] * 20))
    (folder / TEST_LABELS).write_bytes(idx(8, values=[0] * 8))
    count = {TRAIN_LABELS: 20, TEST_LABELS: 8}[part]
    (folder / part).write_bytes(idx(count, values=[largest] * count))
    assert fashion_mnist.load(str(folder), False, []).classes == tuple(map(str, range(largest + 1)))


def test_own_files_may_lie_where_torchvision_puts_them(folder):
    (folder.parent / "top" / "FashionMNIST").mkdir(parents=True)
    raw = folder.rename(folder.parent / "top" / "FashionMNIST" / "raw")
    check_small(fashion_mnist.load(str(raw.parents[1]), False, []), raw)


def test_every_missing_and_damaged_file_of_ones_own_is_named(folder):
    (folder / TRAIN_IMAGES).unlink()
    (folder / TEST_LABELS).unlink()
    (folder / TEST_IMAGES).write_bytes(gzip.compress(b"x" * 99)[:-9])
    with pytest.raises(Refused) as caught:
        fashion_mnist.load(str(folder), False, [])
    for fault in (f"no {TRAIN_IMAGES} or", f"no {TEST_LABELS} or", f"{folder / TEST_IMAGES}: the gzip data ends too"):
        assert fault in str(caught.value)


FAULTS = {
    "no folder": (None, None, "verify=false needs dataset.dir"),
    "missing": (TEST_LABELS, None, f"no {TEST_LABELS} or {TEST_LABELS}.gz"),
    "empty file": (TRAIN_IMAGES, b"", "begins with nothing"),
    "not IDX": (TRAIN_IMAGES, b"<!DOCTYPE html>", "begins with 3c21444f"),
    "labels for images": (TRAIN_IMAGES, idx(20), "begins with 00000801, wanted 00000803"),
    "broken gzip": (TEST_IMAGES, gzip.compress(idx(8, 3, 5))[:-9], "gzip data ends too early"),
    "truncated": (
        TEST_IMAGES,
        idx(8, 3, 5)[:-1],
        "135 bytes, but its header says 8 × 3 × 5, which makes 136",
    ),
    "fewer labels": (TRAIN_LABELS, idx(19), "19 labels, but 20 images in "),
    "no images": (TRAIN_IMAGES, idx(0, 3, 5), "no image"),
    "images of no size": (TRAIN_IMAGES, idx(20, 0, 5), "no image"),
    "two sizes": (TEST_IMAGES, idx(8, 5, 3), "images of 5 × 3, but those for training are images of 3 × 5"),
}


@pytest.mark.parametrize(("name", "content", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_and_its_file_named(folder, name, content, fault):
    if content is not None:
        (folder / name).write_bytes(content)
    elif name:
        (folder / name).unlink()
    with pytest.raises(Refused) as caught:
        fashion_mnist.load(str(folder) if name else None, False, [])
    assert fault in str(caught.value)
    assert name is None or name in str(caught.value)
    assert caught.value.hint


def test_the_checks_are_made_with_verify_too(folder):
    (folder / TRAIN_LABELS).write_bytes(idx(19))
    with pytest.raises(Refused, match="19 labels, but 20 images"):
        fashion_mnist.load(str(folder), True, [], files=proved(folder))
