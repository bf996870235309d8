"""The user's own pictures."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from d2lrun.config.keys import Holdout, KFold
from d2lrun.datasets import folder
from d2lrun.errors import Refused
from d2lrun.runs.identity import changed_files, contents

KEYS = {"size": 8, "colours": 3, "framing": "stretch", "test_fraction": 0.25, "skip_unreadable": False}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))


def save(path, shade=None):
    """A picture of one shade, by default of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shade = len(list(path.parents[1].rglob("*.*"))) if shade is None else shade
    Image.new("RGB", (10, 12), (shade, 2 * shade, 100)).save(path)


@pytest.fixture
def root(tmp_path):
    """Two classes of eight pictures."""
    for name in ("cat", "dog"):
        for number in range(8):
            save(tmp_path / "mine" / name / f"{number}.png")
    return tmp_path / "mine"


def load(root, say=lambda line: None, **changes):
    return folder.load(str(root), **{**KEYS, **changes}, say=say)


def seen(images, labels):
    """The pictures with their classes, in any order."""
    return Counter(
        (tuple(image.flatten().tolist()), label) for image, label in zip(images, labels.tolist(), strict=True)
    )


def test_every_class_gives_its_share_to_the_test_set(root):
    data = load(root)
    assert data.classes == ("cat", "dog") and data.train_images.shape == (12, 3, 8, 8)
    assert data.train_labels.bincount().tolist() == [6, 6] and data.test_labels.bincount().tolist() == [2, 2]


def test_names_and_the_order_of_files_change_nothing(root, monkeypatch):
    one = load(root)
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top, onerror: ((a, b[::-1], c[::-1]) for a, b, c in walk(top)))
    for path in root.rglob("*.png"):
        path.rename(path.with_name(f"other-{9 - int(path.stem)}.png"))
    other = load(root)
    assert torch.equal(one.train_images, other.train_images) and torch.equal(one.test_images, other.test_images)
    assert one.contents[0].sha256 == other.contents[0].sha256


def test_another_content_is_other_data(root):
    before = load(root)
    save(root / "cat" / "0.png", 200)
    after = load(root)
    assert before.contents[0].sha256 != after.contents[0].sha256 and before.pool("train") != after.pool("train")


def test_the_folders_train_val_and_test_are_used(tmp_path):
    for part, count in (("train", 3), ("Validation", 2), ("test", 1)):
        for name in ("a", "b"):
            for number in range(count):
                save(tmp_path / "mine" / part / name / f"{number}.jpg")
    said = []
    data = load(tmp_path / "mine", said.append)
    assert (len(data.train_labels), len(data.test_labels), data.own_val) == (10, 2, 4)
    assert any("validation=holdout" in line for line in said)

    class Held:
        name, fraction = "holdout", 0.1

    class Once:
        name = "once"

    train, val = data.divide(Held, 1)
    assert (train.tolist(), val.tolist()) == (list(range(6)), [6, 7, 8, 9])
    assert data.divide(Once, 1)[0].tolist() == list(range(6)) and data.divide(Once, 1)[1] is None


def test_without_a_test_folder_a_share_of_train_tests(tmp_path):
    for part, count in (("train", 4), ("val", 2)):
        for name in ("a", "b"):
            for number in range(count):
                save(tmp_path / "mine" / part / name / f"{number}.png")
    data = load(tmp_path / "mine")
    assert (len(data.train_labels) - data.own_val, data.own_val, len(data.test_labels)) == (6, 4, 2)


def test_equal_pictures_are_not_divided(tmp_path):
    for name in ("a", "b"):
        for number in range(6):
            save(tmp_path / "mine" / name / f"{number}.png", 10 + (name == "b") + 100 * (number > 0))
    data = load(tmp_path / "mine", test_fraction=0.5)
    train, test = seen(data.train_images, data.train_labels), seen(data.test_images, data.test_labels)
    assert not train & test and len(train) + len(test) == 4


def test_a_picture_that_trains_and_tests_is_reported(tmp_path):
    for part in ("train", "test"):
        for name in ("a", "b"):
            save(tmp_path / "mine" / part / name / "0.png", ord(name))
    said = []
    load(tmp_path / "mine", said.append)
    assert any("in both the training and the test part: 2 pictures" in line for line in said)


def test_other_files_are_left_out_and_counted(root):
    (root / "cat" / "notes.txt").write_text("no picture")
    (root / "cat" / ".hidden.png").write_bytes(b"")
    (root / "dog" / "README").write_text("no picture")
    said = []
    load(root, said.append)
    [line] = said
    assert "left out 3 files" in line and "1 .txt" in line and "1 hidden" in line and "1 without a suffix" in line


def test_all_unreadable_files_are_named_at_once(root):
    for name in ("a", "b"):
        (root / "cat" / f"{name}.png").write_bytes(b"no picture" + name.encode())
    with pytest.raises(Refused) as caught:
        load(root)
    assert "2 files of 18" in str(caught.value) and all(f"{name}.png" in str(caught.value) for name in ("a", "b"))
    assert "dataset.skip_unreadable=true" in caught.value.hint


def test_unreadable_files_are_skipped_if_asked(root):
    wanted = load(root)
    (root / "cat" / "a.png").write_bytes(b"no picture")
    said = []
    data = load(root, said.append, skip_unreadable=True)
    assert "left out 1 file that cannot be read" in said[0]
    assert len(data.train_labels) + len(data.test_labels) == 16
    assert wanted.classes == data.classes


def test_files_that_cannot_be_opened_are_named_with_the_others_and_skipped(root):
    (root / "cat" / "broken.png").symlink_to(root / "nowhere.png")
    (root / "cat" / "text.png").write_text("no picture")
    with pytest.raises(Refused) as caught:
        load(root)
    assert "2 files of 18" in str(caught.value) and all(
        f"{name}.png" in str(caught.value) for name in ("broken", "text")
    )
    assert len(load(root, skip_unreadable=True).train_labels) == 12


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_unreadable_files_change_nothing_of_the_others(data):
    """The parts, their order and the pixels are those of a folder without the unreadable files."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("D2LRUN_CACHE", place + "/cache")
        root = Path(place, "mine")
        for name in ("cat", "dog"):
            for number in range(data.draw(st.integers(2, 6))):
                save(root / name / f"{number}.png")
        wanted = load(root)
        for number in range(data.draw(st.integers(1, 5))):
            (root / "cat" / f"bad{number}.png").write_bytes(data.draw(st.binary(max_size=4)))
        found = load(root, skip_unreadable=True)
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            assert torch.equal(getattr(found, name), getattr(wanted, name))


def test_equal_pictures_are_on_one_side_of_every_split(tmp_path):
    """Also if they are of different classes."""
    for name in ("a", "b"):
        for number in range(12):
            save(tmp_path / "mine" / name / f"{number}.png", 60 + 3 * (number // 2) + (name == "b") * (number > 3))
    data = load(tmp_path / "mine", test_fraction=0.0)
    splits = [Holdout("holdout", stratify=stratify, fraction=0.3) for stratify in (True, False)]
    splits += [
        KFold("kfold", 3, fold, shuffle, stratify=True, repeats=1, refit=False)
        for fold in range(3)
        for shuffle in (True, False)
    ]
    for validation in splits:
        train, val = data.divide(validation, 1)
        assert sorted([*train.tolist(), *val.tolist()]) == list(range(24)) and len(val)
        sides = [{tuple(image.flatten().tolist()) for image in data.train_images[side]} for side in (train, val)]
        assert not sides[0] & sides[1]


@pytest.mark.parametrize(("place", "said"), [("a", "several times"), ("b", "in several classes")])
def test_pictures_that_are_there_twice_are_reported(root, place, said):
    lines = []
    (root / {"a": "cat", "b": "dog"}[place] / "copy.png").write_bytes((root / "cat" / "0.png").read_bytes())
    load(root, lines.append, test_fraction=0.0)
    assert any(f"{said}" in line and "copy.png" in line and "0.png" in line for line in lines)


PARTS = {
    "two for one part": (("train/a", "train/b", "val/a", "Validation/b"), "several folders for the part val"),
    "none that trains": (("test/a", "test/b", "val/a"), "test, val without a folder train"),
}


@pytest.mark.parametrize("fault", PARTS)
def test_parts_that_contradict_each_other_are_refused(tmp_path, fault):
    folders, message = PARTS[fault]
    for each in folders:
        save(tmp_path / "mine" / each / "0.png")
    with pytest.raises(Refused, match=message):
        load(tmp_path / "mine")


def test_a_class_may_be_called_as_a_part(tmp_path):
    for name in ("train", "bus", "test"):
        for number in range(3):
            save(tmp_path / "mine" / name / f"{number}.png")
    assert load(tmp_path / "mine").classes == ("bus", "test", "train")


def test_pictures_in_no_class_and_other_folders_are_reported(tmp_path):
    for place in ("Training/a", "Training/b", "Testing/b", "extra/a"):
        save(tmp_path / "mine" / place / "0.png")
    save(tmp_path / "mine" / "Training" / "loose.png")
    (tmp_path / "mine" / "Training" / "a" / "link").symlink_to(tmp_path / "mine")
    said = []
    data = load(tmp_path / "mine", said.append)
    assert data.classes == ("a", "b") and len(data.train_labels) == 2 and len(data.test_labels) == 1
    assert any("1 picture in no folder of a class" in line and "loose.png" in line for line in said)
    assert any("beside those of the parts: extra" in line for line in said)
    assert any("1 link to a folder" in line for line in said)


def test_names_that_look_the_same_are_one_class(tmp_path):
    for part, name in (("train", "caf\u00e9"), ("train", "tea"), ("test", "cafe\u0301")):
        save(tmp_path / "mine" / part / name / "0.png")
    data = load(tmp_path / "mine")
    assert data.classes == ("caf\u00e9", "tea") and data.test_labels.tolist() == [0]


def test_a_folder_that_cannot_be_read_is_refused(root, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(Refused, match="Permission denied") as caught:
        load(root)
    assert "make it readable" in caught.value.hint


def test_a_change_of_a_folder_is_named_by_its_class(root):
    before = {**contents(load(root)), "parts": {}}
    save(root / "dog" / "new.png", 201)
    (row,) = changed_files(before, {**contents(load(root)), "parts": {}})
    assert "mine/dog: 9 pictures" in row and "wanted 8 pictures" in row


FAULTS = {
    "no folder": (lambda root: root / "none", "no such folder"),
    "a file": (lambda root: root / "cat" / "0.png", "no folder"),
    "one class": (lambda root: root.parent / "one", "only one class"),
    "no picture": (lambda root: root / "cat", "no picture in a subfolder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_without_classes_is_refused(root, fault):
    save(root.parent / "one" / "cat" / "0.png")
    place, message = FAULTS[fault]
    with pytest.raises(Refused, match=message) as caught:
        load(place(root))
    assert "one subfolder per class" in caught.value.hint


def test_a_class_that_only_the_test_has_is_refused(tmp_path):
    for part, names in (("train", "ab"), ("test", "abc")):
        for name in names:
            save(tmp_path / "mine" / part / name / "0.png")
    with pytest.raises(Refused, match="1 class without a picture to train: c"):
        load(tmp_path / "mine")


def test_no_test_set_is_one_way(root):
    data = load(root, test_fraction=0.0)
    assert len(data.train_labels) == 16 and data.part("test") is None


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "tif", "webp", "ppm"])
def test_every_common_format_is_read(tmp_path, suffix):
    for name, shade in (("a", 40), ("b", 200)):
        for number in range(2):
            save(tmp_path / "mine" / name / f"{number}.{suffix}", shade + number)
    data = load(tmp_path / "mine", test_fraction=0.0, colours=1)
    means = data.train_images.float().mean(dim=(1, 2, 3))
    grey = [
        Image.new("RGB", (1, 1), (s, min(2 * s, 255), 100)).convert("L").getpixel((0, 0)) for s in (40, 41, 200, 201)
    ]
    np.testing.assert_allclose(sorted(means.tolist()), sorted(grey), atol=3)


def test_pictures_with_a_light_background_are_never_inverted(root):
    """What trains is never inverted either."""
    assert not load(root).preparation.dark
