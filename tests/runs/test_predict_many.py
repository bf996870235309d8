"""``d2lrun predict RUN FOLDER``: a table, a contact sheet, and the accuracy by the names of the folders."""

from __future__ import annotations

import csv
import io
import os
import shutil
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from d2lrun.errors import Refused
from d2lrun.tasks.classification import many
from d2lrun.tasks.classification.picture_files import Picture, found, is_many, pictures_in
from d2lrun.tasks.classification.preparation import Preparation
from d2lrun.tasks.classification.tables import Count
from tests.commands import in_this_process


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A directory with a run r, which tells red from blue, and its 24 pictures in mine/."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        name, shade = ("red", (200 + number, 30, 30)) if number % 2 else ("blue", (30, 30, 200 + number))
        path = root / "mine" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), shade).save(path)
    words = ("dataset=folder", "dataset.path=mine", "dataset.size=8", "model=softmax", "train.batch_size=8")
    done = in_this_process(
        root, *words, "device=cpu", "train.epochs=4", "run.dir=r", "run.pictures=false", D2LRUN_CACHE=str(root / "c")
    )
    assert (done.code, done.err) == (0, "")
    return root


def predict(root, *words):
    done = in_this_process(root, "predict", "r", *words, D2LRUN_CACHE=str(root / "c"))
    assert (done.code, done.err) == (0, "")
    return done.out


def rows(root):
    with open(root / "r" / "pictures.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_classes_gives_a_table_a_sheet_and_an_accuracy(root):
    said = predict(root, "mine")
    assert said.startswith(" predicting 24 pictures") and "accuracy 1.000: 24 of 24" in said
    assert Counter((row["class"], row["label"]) for row in rows(root)) == {("red", "red"): 12, ("blue", "blue"): 12}
    assert {row["file"] for row in rows(root)} == {f"mine/{'red' if n % 2 else 'blue'}/{n}.png" for n in range(24)}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows(root))
    sheet = Image.open(root / "r" / "pictures.png")
    assert sheet.width == 1660 and (np.asarray(sheet.convert("RGB")) != 255).any()


def test_a_folder_says_the_same_as_each_file(root):
    predict(root, "mine")
    said = predict(root, *(row["file"] for row in rows(root)), "top=1")
    shown = [line.split()[:2] for line in said.splitlines() if line.startswith("  ")]
    assert shown == [[row["class"], f"{float(row['probability']):.1%}"] for row in rows(root)]


def test_classes_are_matched_by_name_and_never_by_order(root, tmp_path):
    """Folders named red, and aaa, which no class has: blue is the first class of the run."""
    shutil.copytree(root / "r", tmp_path / "r")
    for name, other in (("red", "red"), ("blue", "aaa")):
        shutil.copytree(root / "mine" / name, tmp_path / "new" / "test" / other)
    said = predict(tmp_path, "new")
    assert "accuracy 1.000: 12 of 12" in said and "12 pictures in no folder that is named as a class" in said
    assert Counter(row["label"] for row in rows(tmp_path)) == {"red": 12, "": 12}


def test_pictures_without_such_folders_are_counted_by_class(root):
    said = predict(root, "mine/red")
    assert "accuracy" not in said and said.splitlines()[3].split() == ["red", "12"]
    assert {row["label"] for row in rows(root)} == {""}


def test_a_pattern_in_quotes_names_its_files(root):
    predict(root, "mine/*/1*.png")
    assert {row["file"] for row in rows(root)} == {
        f"mine/{'red' if n % 2 else 'blue'}/{n}.png" for n in range(24) if str(n)[0] == "1"
    }
    assert {row["label"] for row in rows(root)} == {"red", "blue"}
    predict(root, "mi*/**", "mine/red/1.png")
    assert len(rows(root)) == 24  # each picture once


def test_names_of_any_characters_are_written(root, tmp_path):
    shutil.copytree(root / "r", tmp_path / "r")
    names = ['a\nb, "c".png', "[red]$x$.png", "照片.png", "\udcff.png"]
    for name in names:
        (tmp_path / "new").mkdir(exist_ok=True)
        shutil.copy(root / "mine" / "red" / "1.png", tmp_path / "new" / name)
    said = predict(tmp_path, "new")
    assert "pictures.png is missing" not in said
    assert {row["file"] for row in rows(tmp_path)} == {f"new/{name}" for name in [*names[:3], "\\udcff.png"]}


def test_what_is_no_picture_is_left_out_and_said(root, tmp_path):
    shutil.copytree(root / "r", tmp_path / "r")
    shutil.copytree(root / "mine", tmp_path / "new")
    (tmp_path / "new" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "new" / "notes.txt").write_text("no picture")
    said = predict(tmp_path, "new")
    assert "new: left out 1 file (1 .txt)" in said and len(rows(tmp_path)) == 24
    assert "left out 1 file that cannot be read as a picture" in said and "bad.png is not an image" in said
    refused = in_this_process(tmp_path, "predict", "r", "new", "new/notes.txt")
    assert refused.code == 2 and "notes.txt is not an image" in refused.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["empty"], "empty: no picture in this folder"),
        (["mine/*.jpg"], "mine/*.jpg: no file with a name of this pattern"),
        (["mine", "top=5"], "top=5: for image files alone"),
        (["nowhere"], "nowhere: no such file"),
        (["bad"], "no file of 1 can be read as a picture"),
    ],
)
def test_what_cannot_be_used_is_refused(root, words, error):
    (root / "empty").mkdir(exist_ok=True)
    (root / "bad").mkdir(exist_ok=True)
    (root / "bad" / "a.png").write_bytes(b"")
    refused = in_this_process(root, "predict", "r", *words)
    assert refused.code == 2 and error in refused.err


def test_a_bad_file_is_refused_before_the_weights_are_read(root, tmp_path):
    shutil.copytree(root / "r", tmp_path / "r")
    (tmp_path / "r" / "model.safetensors").write_bytes(b"damaged")
    refused = in_this_process(tmp_path, "predict", "r", "nowhere.png")
    assert refused.code == 2 and "nowhere.png: no such file" in refused.err


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_alone(terminal):
    text = io.StringIO()
    with Count(Console(file=text, force_terminal=terminal, force_interactive=terminal)) as count:
        count(64, 128)
        count(128, 128)
    assert ("128/128" in text.getvalue()) == terminal and bool(text.getvalue()) == terminal


def test_the_next_pictures_are_read_ahead_in_order(monkeypatch):
    monkeypatch.setattr(many, "CHUNK", 3)
    pictures, read = [Picture(Path(str(n))) for n in range(8)], []

    def reading(picture):
        read.append(picture)
        return Refused(str(picture.path), "")

    seen = []
    for chunk, results in many.ahead(pictures, reading):
        assert [str(result) for result in results] == [str(picture.path) for picture in chunk]
        seen += chunk
    assert seen == pictures and sorted(read, key=pictures.index) == pictures


def test_after_an_interruption_no_more_pictures_are_read(monkeypatch):
    """The worker waits at the first picture of the second chunk until the pool is told to stop."""
    count, stopped = [], threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            stopped.set()
            super().shutdown(wait=True)

    def read(picture):
        count.append(picture)
        if len(count) > many.CHUNK:
            stopped.wait(600)

    monkeypatch.setattr(many, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    chunks = many.ahead([Picture(Path(str(number))) for number in range(4 * many.CHUNK)], read)
    next(chunks)
    chunks.close()
    assert len(count) <= many.CHUNK + 1


def test_a_file_that_is_also_named_itself_must_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    Path("a", "1.png").write_bytes(b"")
    for words in (["a", "a/1.png"], ["a/1.png", "a"]):
        assert [picture.named for picture in found(words, print)] == [True]


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    def listed(top):
        raise PermissionError(13, "Permission denied", str(top))

    monkeypatch.setattr(os, "scandir", listed)
    with pytest.raises(Refused, match="Permission denied"):
        list(pictures_in(tmp_path, Counter()))


def test_a_name_with_a_star_that_exists_is_no_pattern(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a[1].png").write_bytes(b"")
    Path("a1.png").write_bytes(b"")
    assert not is_many("a[1].png") and is_many("b[1].png")
    assert [str(picture.path) for picture in found(["a[12].png"], print)] == ["a1.png"]
    for name in ("b[1]", "b1"):
        Path(name).mkdir()
        Path(name, "x.png").write_bytes(b"")
    assert [str(picture.path) for picture in found(["b[1]/*.png"], print)] == ["b1/x.png"]


def test_a_folder_whose_name_looks_like_a_class_is_its_label(tmp_path):
    """A name may be composed of letters with accents, or of letters and accents: macOS makes the second form."""
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    prepare = Preparation((3, 8, 8))
    pictures = [Picture(picture, (name,)) for name in ("cafe\u0301", "caf\u00e9", "cafe")]
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    known, _, _ = many.predictions(model, ["caf\u00e9", "tea"], prepare, 2, "no", pictures, lambda done, all: None)
    assert [guess.label for guess in known] == ["caf\u00e9", "caf\u00e9", None]


def test_a_file_that_is_named_before_its_folder_keeps_its_label(tmp_path):
    (tmp_path / "red").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "red" / "a.png")
    for words in ([str(tmp_path / "red" / "a.png"), str(tmp_path)], [str(tmp_path), str(tmp_path / "red" / "a.png")]):
        (picture,) = found(words, print)
        assert picture.folders == ("red",) and picture.named


def test_a_run_that_cannot_be_written_is_refused_before_anything_is_read(root, monkeypatch):
    def fail(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("tempfile.TemporaryFile", fail)
    monkeypatch.setattr(many, "predictions", None)
    done = in_this_process(root, "predict", "r", "mine", D2LRUN_CACHE=str(root / "c"))
    assert done.code == 2 and "cannot write to r: Permission denied" in done.err
