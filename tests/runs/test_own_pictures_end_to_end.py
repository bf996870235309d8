"""A folder of pictures, from the command line: training, predictions without the folder, and other pictures refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.commands import in_this_process

WORDS = ("dataset=folder", "dataset.path=mine", "dataset.size=16", "model=softmax", "train.batch_size=8", "device=cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with the run r of 24 pictures, half of them red, and a copy of them elsewhere."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for name, channel in (("red", 0), ("blue", 2)):
        (root / "mine" / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 60, (20, 24, 3))
            pixels[..., channel] += 190
            Image.fromarray(pixels.astype(np.uint8)).save(root / "mine" / name / f"{number}.png")
    run = ("train.epochs=4", "augment=flip", "dataset.normalise=standard", "run.dir=r")
    done = in_this_process(root, *WORDS, *run, D2LRUN_CACHE=str(root / "cache"))
    assert (done.code, done.err) == (0, "")
    return root


def call(root, *words):
    return in_this_process(root, *words, D2LRUN_CACHE=str(root / "cache"))


def test_it_learns_and_records_its_classes(trained):
    result = json.loads((trained / "r" / "result.json").read_text("utf-8"))
    assert result["metrics"]["test_accuracy"] == 1.0
    kept = json.loads((trained / "r" / "classes.json").read_text("utf-8"))
    assert (kept["classes"], kept["stored"], kept["framing"]) == (["blue", "red"], [3, 16, 16], "crop")
    assert len(kept["statistics"][0]) == 3


def test_a_picture_is_predicted_without_the_folder_that_trained(trained, tmp_path):
    for name in ("r", "mine"):
        shutil.copytree(trained / name, tmp_path / name)
    (tmp_path / "mine" / "red" / "0.png").rename(tmp_path / "one.png")
    shutil.rmtree(tmp_path / "mine")
    said = call(tmp_path, "predict", "r", "one.png")
    assert (said.code, said.err) == (0, "") and said.out.splitlines()[1].split()[0] == "red"


def test_the_test_pictures_are_predicted_from_the_folder(trained):
    said = call(trained, "predict", "r")
    assert (said.code, said.err) == (0, "") and "accuracy 1.000" in said.out


def test_other_pictures_are_other_data(trained, tmp_path):
    for name in ("r", "mine"):
        shutil.copytree(trained / name, tmp_path / name)
    (tmp_path / "mine" / "red" / "0.png").unlink()
    refused = call(tmp_path, "evaluate", "r", "dataset.path=mine")
    assert refused.code == 2 and "mine" in refused.err


def test_a_damaged_record_is_refused(trained, tmp_path):
    shutil.copytree(trained / "r", tmp_path / "r")
    (tmp_path / "r" / "classes.json").write_text("{}", encoding="utf-8")
    refused = call(tmp_path, "predict", "r", str(trained / "mine" / "red" / "1.png"))
    assert refused.code == 2 and "classes.json is damaged" in refused.err


def test_folds_and_a_sweep_are_measured_on_pictures(trained):
    folds = call(
        trained, *WORDS, "validation=kfold", "validation.k=3", "train.epochs=1", "run.dir=k", "train.keep=best"
    )
    assert (folds.code, folds.err) == (0, "") and "mean" in folds.out
    sweep = call(trained, "-m", *WORDS, "validation=holdout", "train.epochs=1", "augment=none,flip", "sweep.name=s")
    assert (sweep.code, sweep.err) == (0, "") and "best" in sweep.out


def test_a_task_without_pictures_refuses_augmentation(tmp_path):
    refused = in_this_process(tmp_path, "model=linear", "augment=flip", "device=cpu")
    assert refused.code == 2 and "augment=flip: this is a tabular task, without images to change" in refused.err
