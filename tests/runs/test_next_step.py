"""The command that a run or a sweep ends with, carried out as it is printed."""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun import datasets
from d2lrun.datasets import house_prices
from d2lrun.disk.download import Found
from d2lrun.errors import Failed
from d2lrun.runs import next_step

HOUSES = "Id,Street,Area,SalePrice\n" + "".join(f"{n},{'ab'[n % 2]},{50 + n},{1000 * (50 + n)}\n" for n in range(20))
UNSOLD = "Id,Street,Area\n" + "".join(f"{n},{'ab'[n % 2]},{50 + n}\n" for n in range(100, 105))


@pytest.fixture
def folder(tmp_path, stripes_folder, monkeypatch):
    """A folder with images, a text, and few houses as if they were those of Kaggle."""
    (tmp_path / "images").symlink_to(stripes_folder)
    (tmp_path / "it's a text.txt").write_text("the cat sat on a mat\n" * 40, encoding="utf-8")
    (tmp_path / "texts.tsv").write_text("a fine film\tgood\na dull film\tbad\n" * 20, encoding="utf-8")
    np.savez(tmp_path / "trains.npz", train_images=np.zeros((20, 8, 8), "uint8"), train_labels=np.arange(20) % 2)
    contents = {
        house_prices.TRAIN: Found(HOUSES.encode(), "train.csv", "1"),
        house_prices.TEST: Found(UNSOLD.encode(), "test.csv", "2"),
    }
    monkeypatch.setattr(house_prices, "locate", lambda *arguments: contents)
    monkeypatch.setattr(datasets, "_last", None)
    return tmp_path


def small(*words: str) -> list[str]:
    return ["device=cpu", "device.threads=1", "train.epochs=1", "train.batch_size=8", "train.limit_batches=2", *words]


IMAGES = small("model=mlp", "model.hidden=[4]", "dataset.verify=false", "dataset.dir=images")
TEXT = small("model=rnn", "model.hidden=4", "dataset=text", 'dataset.path=["it\'s a text.txt"]', "dataset.steps=4")
TEXTS = small("model=bag-of-words", "dataset=labelled-text", "dataset.path=texts.tsv", "run.dir=it")
FOLDS = ["validation=kfold", "validation.k=2"]
LEARNS = ["train.limit_batches=null", "train.epochs=3", "model.hidden=[32]"]
RUNS = {
    "images": ([*IMAGES, "run.dir='my run'"], ["predict", "my run"]),
    "text": ([*TEXT, "run.dir=it", "dataset.prefix=null"], ["generate", "it"]),
    "text with a prefix": ([*TEXT, "run.dir=it", 'dataset.prefix="cat\'s"'], ["generate", "it", "prefix=cat's"]),
    "texts": ([*TEXTS, "validation=holdout"], ["predict", "it"]),
    "texts that all train": (TEXTS, ["predict", "it", "TEXT"]),
    "made rows": (small("model=linear", "dataset=polynomial", "run.dir=it"), ["evaluate", "it"]),
    "rows": (small("model=linear", "dataset=house-prices", "run.dir=it"), ["predict", "it"]),
    "folds": ([*IMAGES, *FOLDS, "run.dir=it"], ["compare", "it"]),
    "folds and a refit": ([*IMAGES, *FOLDS, "validation.refit=true", "run.dir=it"], ["predict", "it/refit"]),
}


def following(text: str) -> list[str]:
    """The words of the one command that is said to be next."""
    (line,) = [line for line in text.splitlines() if line.startswith(" next ")]
    program, *words = shlex.split(line.removeprefix(" next "))
    assert program == "d2lrun"
    return words


@pytest.mark.parametrize(("words", "wanted"), RUNS.values(), ids=RUNS)
def test_the_command_after_a_run_works(d2lrun, folder, words, wanted):
    done = d2lrun(*words)
    assert done.code == 0, done.err
    assert following(done.out) == wanted
    assert d2lrun(*following(done.out)).code == 0
    assert following(d2lrun(*words).out) == wanted  # it is finished already


def test_images_to_predict_are_named_if_there_are_no_test_images(d2lrun, folder):
    done = d2lrun(*small("model=softmax", "dataset=arrays", "dataset.path=trains.npz", "run.dir=it"))
    assert following(done.out) == ["predict", "it", "IMAGE"]


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["optimizer.lr=0.1,0.2", *LEARNS, "validation=holdout", "validation.fraction=0.3"], "predict"),
        (["seed=1,2"], "compare"),
        (["optimizer.lr=0.1,0.2", *LEARNS, *FOLDS, "validation.refit=true"], "predict"),
    ],
)
def test_the_command_after_a_sweep_works(d2lrun, folder, words, verb):
    done = d2lrun("-m", *IMAGES, "sweep.name=it", *words)
    assert done.code == 0, done.err
    assert following(done.out)[0] == verb
    then = d2lrun(*following(done.out))
    assert (then.code, then.err) == (0, "")


def test_a_sweep_with_a_failure_is_continued(d2lrun, folder):
    done = d2lrun("-m", *IMAGES, "sweep.name=it", "optimizer.lr=0.1,1e30", "train.epochs=2")
    assert done.code == 3
    assert following(done.out) == ["-m", *IMAGES, "sweep.name=it", "optimizer.lr=0.1,1e30", "train.epochs=2"]
    assert d2lrun(*following(done.out)).code == 3


@pytest.mark.parametrize(
    "words", [["run.dir='my run'"], ["run.dir='my run'", *FOLDS], ["-m", "sweep.name=it", "seed=1,2"]], ids=str
)
def test_the_command_after_a_stop_works(d2lrun, folder, at_step, words):
    with at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT)):
        stopped = d2lrun(*IMAGES, *words) if words[0] != "-m" else d2lrun(*words, *IMAGES)
    assert stopped.code == 130
    assert stopped.err.count("d2lrun ") == 1
    program, *then = shlex.split(stopped.err.strip().rpartition("continue with: ")[2])
    assert (program, d2lrun(*then).code) == ("d2lrun", 0)


def test_the_command_after_a_failure_of_the_machine_works(d2lrun, folder, at_step):
    def fail():
        raise Failed("the device is lost") from OSError()

    with at_step(1, fail):
        failed = d2lrun(*IMAGES, "run.dir='my run'")
    assert failed.code == 1
    assert d2lrun(*following(failed.out)).code == 0


def test_a_masked_password_is_in_no_command():
    sweep = {"jobs": [{"status": "failed"}], "rerun": "d2lrun -m sweep.storage=db://me:***@x"}
    assert next_step.after_sweep(sweep, Path("it"), [], None) == "d2lrun compare it"
    assert "***" not in next_step.continuing(sweep["rerun"])


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_a_command_is_read_back_by_a_shell(path):
    assert shlex.split(next_step.command("resume", Path(path))) == ["d2lrun", "resume", str(Path(path))]
