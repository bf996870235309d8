"""The user's own images in a file of arrays: the names of MedMNIST and of Keras."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from d2lrun.datasets.arrays import load
from d2lrun.errors import Refused

NUMBERS = np.random.default_rng(1)
IMAGES = NUMBERS.integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([[3], [1], [3], [1], [7], [7]], dtype=np.uint8)  # as MedMNIST has them


def saved(path, **arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def test_the_names_of_medmnist_and_of_keras_mean_the_same(tmp_path):
    parts = ("train", "val", "test")
    med = {f"{part}_{kind}": each for part in parts for kind, each in (("images", IMAGES), ("labels", LABELS))}
    keras = {f"{kind}_{part}": each for part in parts for kind, each in (("x", IMAGES), ("y", LABELS[:, 0]))}
    one, other = load(saved(tmp_path / "a.npz", **med), None), load(saved(tmp_path / "b.npz", **keras), None)
    for data in (one, other):
        assert data.classes == ("1", "3", "7") and data.own_val == 6
        assert torch.equal(data.train_images, torch.from_numpy(np.concatenate([IMAGES, IMAGES]))[:, None])
        assert data.train_labels.tolist() == [1, 0, 1, 0, 2, 2] * 2 and data.test_labels.tolist() == [1, 0, 1, 0, 2, 2]
    assert one.pool("train") == other.pool("train")


def test_the_content_is_that_of_the_arrays_and_not_of_the_file(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS}
    plain = load(saved(tmp_path / "a.npz", **arrays), None)
    np.savez_compressed(tmp_path / "b.npz", **arrays)
    assert load(str(tmp_path / "b.npz"), None).contents[0].sha256 == plain.contents[0].sha256
    other = load(saved(tmp_path / "c.npz", x_train=IMAGES ^ 1, y_train=LABELS), None)
    assert other.contents[0].sha256 != plain.contents[0].sha256


def test_named_classes_are_numbered_from_0(tmp_path):
    arrays = {"x_train": IMAGES, "y_train": LABELS[:, 0] % 3, "classes": np.array(["one", "none", "two"])}
    data = load(saved(tmp_path / "a.npz", **arrays), None)
    assert data.classes == ("one", "none", "two") and data.train_labels.tolist() == (LABELS[:, 0] % 3).tolist()


def test_colours_are_made_grey_and_grey_three_times(tmp_path):
    pixels = NUMBERS.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    path = saved(tmp_path / "a.npz", x_train=pixels, y_train=LABELS)
    wanted = (pixels @ np.array([0.299, 0.587, 0.114])).round()
    found = load(path, 1).train_images
    assert found.shape == (6, 1, 4, 5) and np.abs(found[:, 0].numpy() - wanted).max() <= 1
    assert torch.equal(load(path, None).train_images, torch.from_numpy(pixels).permute(0, 3, 1, 2))
    grey = load(saved(tmp_path / "b.npz", x_train=IMAGES, y_train=LABELS), 3).train_images
    assert torch.equal(grey, torch.from_numpy(IMAGES)[:, None].expand(-1, 3, -1, -1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": IMAGES}, "x_train without y_train"),
        ({"a": IMAGES}, "no train_images and train_labels .it has a"),
        ({"x_train": IMAGES, "y_train": LABELS[:5]}, "y_train of the shape .5., and 6 images"),
        ({"x_train": IMAGES, "y_train": LABELS * 0}, "1 class: 0"),
        ({"x_train": IMAGES, "y_train": LABELS / 2}, "labels of the type float64"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, :3], "y_test": LABELS}, "of different shapes"),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS + 1},
            "test: the label 4 is no class",
        ),
        ({"x_train": IMAGES, "y_train": LABELS, "classes": np.array(["a", "b"])}, "train: the label 3 is no class"),
        ({"x_train": IMAGES, "y_train": LABELS, "classes": np.array(["a", "a"])}, "1 class: a"),
        ({"x_train": np.array([object()] * 6), "y_train": LABELS}, "not a file of arrays that can be read"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    with pytest.raises(Refused, match=message):
        load(saved(tmp_path / "a.npz", **arrays), None)


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(Refused, match=r"a\.npz"):
        load(str(tmp_path / "a.npz"), None)


def test_a_file_cut_at_any_place_is_refused(tmp_path):
    whole = io.BytesIO()
    np.savez_compressed(whole, x_train=IMAGES, y_train=LABELS)
    for length in range(0, len(whole.getvalue()), 7):
        (tmp_path / "a.npz").write_bytes(whole.getvalue()[:length])
        with pytest.raises(Refused):
            load(str(tmp_path / "a.npz"), None)


def test_a_file_that_unpacks_to_more_than_any_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("d2lrun.datasets.arrays.LARGEST", 1000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", b"\0" * 2000)
    with pytest.raises(Refused, match="arrays of 2,000 bytes"):
        load(str(tmp_path / "a.npz"), None)
