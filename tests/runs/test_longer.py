"""A finished run that is trained longer: the bits of a run from the start, its parent, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import safetensors.torch

from d2lrun.disk.rundir import RunDirectory
from d2lrun.report.page import fact_rows
from tests.bits import same_bits, timeless

MLP = ("model=mlp", "model.hidden=[16]", "model.dropout=[0.5]", "train.batch_size=64", "validation=holdout")
SMALL = ("device=cpu", "device.threads=1", "run.pictures=false")


@pytest.fixture
def train(d2lrun, own_images):
    """``train(FOLDER, WORD…)``: a small network that draws random numbers; it ends with code 0."""

    def train(folder, *words):
        done = d2lrun(*MLP, *SMALL, *own_images, f"run.dir={folder}", *words)
        assert (done.code, done.err) == (0, "")

    return train


def new_run(done) -> Path:
    """The directory that a command printed."""
    return Path(next(line.split()[-1] for line in done.out.splitlines() if line.startswith(" directory")))


def weights(folder):
    return safetensors.torch.load_file(Path(folder) / "model.safetensors")


def records(folder):
    return timeless(RunDirectory(folder).records())


def content(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


KINDS = {
    "adam": ("optimizer=adam",),
    "momentum": ("optimizer.momentum=0.9", "schedule.warmup=1.5"),
    "steps": ("schedule=step", "schedule.every=1.5"),
    "best": ("train.keep=best", "optimizer.lr=2", "optimizer.momentum=0.9"),
    "patience": ("optimizer=adam", "train.patience=2"),
    "single fold": ("validation=kfold", "validation.k=3", "validation.fold=1"),
}


@pytest.mark.parametrize("words", KINDS.values(), ids=KINDS)
def test_it_has_the_bits_of_a_longer_run_from_the_start(d2lrun, train, words):
    train("short", *words, "train.epochs=2")
    before = content("short")
    done = d2lrun("resume", "short", "train.epochs=4")
    assert (done.code, done.err) == (0, "")
    train("long", *words, "train.epochs=4")
    longer = new_run(done)
    assert same_bits(weights(longer), weights("long"))
    assert records(longer) == records(Path("long"))
    one, other = (json.loads((Path(folder) / "result.json").read_text("utf-8")) for folder in (longer, "long"))
    assert one.pop("parent") == {"parent": str(Path("short").absolute()), "epochs": 2}
    assert {**one, "seconds": 0, "metrics": 0} == {**other, "seconds": 0, "metrics": 0}
    assert content("short") == before


def test_a_recurrent_network_goes_on_with_its_text(d2lrun, tmp_path):
    (tmp_path / "a.txt").write_text("the time traveller for so it will be convenient to speak of him\n" * 9)
    words = ("model=rnn", "model.hidden=8", "dataset=text", "dataset.path=a.txt", "dataset.steps=8", *SMALL)
    for folder, epochs in (("short", 2), ("long", 3)):
        done = d2lrun(*words, "train.sample_every=1", f"train.epochs={epochs}", f"run.dir={folder}")
        assert (done.code, done.err) == (0, "")
    done = d2lrun("resume", "short", "train.epochs=3")
    assert (done.code, done.err) == (0, "")
    assert same_bits(weights(new_run(done)), weights("long"))
    assert (new_run(done) / "samples.txt").read_text() == Path("long/samples.txt").read_text()


def test_it_is_continued_after_a_stop_and_is_longer_still(d2lrun, train, at_step, monkeypatch):
    train("short", "train.epochs=1")
    for step in (1, 7):  # before its own first checkpoint, and after it
        shutil.rmtree("outputs", ignore_errors=True)
        with at_step(step, lambda: os.kill(os.getpid(), signal.SIGINT)):
            assert d2lrun("resume", "short", "train.epochs=3").code == 130
        (stopped,) = Path("outputs/runs").glob("*/*/*")
        done = d2lrun("resume", stopped)
        assert (done.code, done.err) == (0, "")
    train("long", "train.epochs=3")
    assert same_bits(weights(stopped), weights("long"))
    again = d2lrun("resume", stopped, "train.epochs=4")
    train("longest", "train.epochs=4")
    assert same_bits(weights(new_run(again)), weights("longest"))


def test_a_run_that_was_killed_before_it_copied_begins_with_its_parent(d2lrun, train):
    train("short", "train.epochs=1")
    longer = new_run(d2lrun("resume", "short", "train.epochs=2"))
    wanted = weights(longer)
    for path in longer.iterdir():
        if path.name not in (".parent.json", "config.yaml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = d2lrun("resume", longer)
    assert (done.code, done.err) == (0, "") and "goes on after 1 epoch of" in done.out
    assert same_bits(weights(longer), wanted)


def test_the_parent_is_told(d2lrun, train):
    train("short", "train.epochs=1")
    done = d2lrun("resume", "short", "train.epochs=2")
    told = f"{Path('short').absolute()} after 1 epoch"
    assert f"continues   {told}" in done.out
    assert ["continues", told] in fact_rows(RunDirectory(new_run(done)).known_result())
    compared = d2lrun("compare", "short", new_run(done)).out
    assert f" 2  {new_run(done)}, continues {Path('short').absolute()}" in compared and compared.count("continues") == 1


def refused(d2lrun, folder, words, message, hint):
    """The command is refused with this message and hint, and leaves no run behind."""
    done = d2lrun("resume", folder, *words)
    error, advice = done.err.splitlines()
    assert done.code == 2 and message in error and hint in advice
    assert not [*Path().glob("outputs/runs/*/*/*")]
    return advice


@pytest.mark.parametrize("epochs, message", [(2, "has trained 2 epochs"), (1, "has trained 2 epochs"), (0, "wanted a")])
def test_it_needs_more_epochs_than_the_parent_has(d2lrun, train, epochs, message):
    train("short", "train.epochs=2")
    advice = refused(d2lrun, "short", [f"train.epochs={epochs}"], message, "")
    if epochs:
        assert advice == "hint: d2lrun resume short train.epochs=4"
        assert d2lrun(*advice.split()[2:]).code == 0


@pytest.mark.parametrize("value", ["x", "2.5", "[3]", "", "3,4", "9" * 5000, "!!python/name:os.system"])
def test_a_value_that_is_no_number_of_epochs_is_refused(d2lrun, train, value):
    train("short", "train.epochs=1")
    refused(d2lrun, "short", [f"train.epochs={value}"], "train.epochs=", "")


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_schedule_that_depends_on_the_epochs_is_refused(d2lrun, train, epochs):
    train("short", "train.epochs=1", "schedule=cosine")
    refused(d2lrun, "short", [f"train.epochs={epochs}"], "other learning rates", "model.weights=")


def test_a_run_that_ended_by_its_patience_is_refused(d2lrun, train):
    train("short", "train.epochs=9", "train.patience=1", "optimizer.lr=3")
    assert len(records(Path("short"))) < 9
    refused(d2lrun, "short", ["train.epochs=20"], "stops there, too", "another train.patience")


def test_a_run_that_has_not_finished_is_refused(d2lrun, train, own_images, at_step):
    with at_step(3, lambda: os.kill(os.getpid(), signal.SIGINT)):
        assert d2lrun(*MLP, *SMALL, *own_images, "run.dir=short", "train.epochs=2").code == 130
    refused(d2lrun, "short", ["train.epochs=3"], "has not finished its 2 epochs (stopped)", "d2lrun resume short")


def test_all_folds_at_once_are_refused_and_one_is_not(d2lrun, train):
    train("short", "train.epochs=1", "validation=kfold", "validation.k=2")
    refused(d2lrun, "short", ["train.epochs=2"], "a model for each of 2 folds", "short/fold-0")
    assert d2lrun("resume", "short/fold-0", "train.epochs=2").code == 0


def test_a_model_that_counts_is_refused(d2lrun, tmp_path):
    (tmp_path / "a.txt").write_text("so it will be convenient to speak of him\n" * 9)
    words = ("model=ngram", "dataset=text", "dataset.path=a.txt", "dataset.steps=8", *SMALL, "run.dir=short")
    assert d2lrun(*words).code == 0
    refused(d2lrun, "short", ["train.epochs=3"], "learns in one pass", "leave it out")


def test_other_data_are_refused(d2lrun, train, stripes_folder, tmp_path):
    train("short", "train.epochs=1")
    shutil.copytree(stripes_folder, tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    done = d2lrun("resume", "short", "train.epochs=2", f"dataset.dir={tmp_path / 'other'}")
    assert done.code == 2 and "holds a run on other data" in done.err
    assert not [*Path().glob("outputs/runs/*/*/*")]


@pytest.mark.parametrize("loss", ["all", "newest"])
def test_a_damaged_checkpoint_of_the_parent_is_passed_over_and_not_renamed(d2lrun, train, loss):
    train("short", "train.epochs=2", "train.checkpoint_every=3")
    found = sorted(Path("short/checkpoints").glob("*.pt"))
    for path in found if loss == "all" else found[-1:]:
        path.write_bytes(b"damaged")
    before = content("short")
    if loss == "all":
        refused(d2lrun, "short", ["train.epochs=3"], "no sound checkpoint", "model.weights=")
    else:
        done = d2lrun("resume", "short", "train.epochs=3")
        train("long", "train.epochs=3")
        assert same_bits(weights(new_run(done)), weights("long"))
    assert content("short") == before
