"""K folds in one run's directory: their mean, what is left of them after a stop, and what never sees the test set."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from d2lrun.config.compose import compose
from d2lrun.config.keys import Book
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Diverged
from d2lrun.runs import cost, kfold
from d2lrun.runs.kfold import spread
from d2lrun.runs.run import draw
from d2lrun.tasks.classification.preparation import Preparation
from tests.bits import same_bits, timeless

EPOCHS, STEPS = 2, 4  # of a fold: 220 of 330 images in batches of 64
FOLDS = ["fold-0", "fold-1", "fold-2"]


@pytest.fixture
def words(stripes_folder):
    """Of a run in 3 folds."""
    return [
        *("model=mlp", "model.hidden=[16]", "model.dropout=[0.5]", "optimizer=adam", "device=cpu", "device.threads=1"),
        *(f"train.epochs={EPOCHS}", "train.batch_size=64", "dataset.verify=false", f"dataset.dir={stripes_folder}"),
        *("validation=kfold", "validation.k=3", "run.pictures=false"),
    ]


@pytest.fixture
def train(d2lrun, words):
    """``train(FOLDER, WORD…)``."""
    return lambda folder, *more: d2lrun(*words, f"run.dir={folder}", *more)


def result(folder):
    return json.loads((folder / "result.json").read_text("utf-8"))


def bits(folder):
    """What a fold came to: its weights, and its metrics without the times."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return load_file(folder / "model.safetensors"), timeless(rows)


def assert_same_bits(folder, other):
    (weights, metrics), (wanted, rows) = bits(folder), bits(other)
    assert metrics == rows
    assert same_bits(weights, wanted)


def snapshot(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def diverge():
    raise Diverged("diverged: loss nan", "try a smaller optimizer.lr")


# --- what it comes to ---------------------------------------------------------------------------------------------


def test_each_fold_is_a_run_of_its_own_and_the_parent_their_mean(train, tmp_path):
    done = train("run")
    assert (done.code, done.err) == (0, "")
    whole = result(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == FOLDS
    each = [result(tmp_path / "run" / name) for name in FOLDS]
    assert [one["status"] for one in (whole, *each)] == ["finished"] * 4
    assert [fold["directory"] for fold in whole["folds"]] == FOLDS
    assert [fold["metrics"] for fold in whole["folds"]] == [one["metrics"] for one in each]
    for name, spreading in whole["metrics"].items():
        values = [one["metrics"][name] for one in each]
        assert spreading["mean"] == pytest.approx(np.mean(values), rel=1e-12)
        assert spreading["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)
    assert {"train_loss", "val_loss", "val_accuracy"} <= whole["metrics"].keys()
    assert not [name for name in whole["metrics"] if name.startswith("test_")]
    assert (whole["epochs"], whole["steps"]) == (3 * EPOCHS, 3 * EPOCHS * STEPS)
    assert whole["refit"] is None
    for name in FOLDS:
        assert {"config.yaml", "metrics.jsonl", "result.json", "model.safetensors", "checkpoints", "run.log"} <= {
            path.name for path in (tmp_path / "run" / name).iterdir()
        }


def test_the_terminal_shows_every_fold_and_the_mean(train, tmp_path):
    out = train("run").out
    mean = result(tmp_path / "run")["metrics"]["val_accuracy"]["mean"]
    rows = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line.strip()}
    assert rows["mean"] == f"{mean:.4f}"
    assert all(f"{name}: train loss" in out for name in FOLDS)


def test_the_spread_is_that_of_a_sample_and_unknown_where_a_fold_has_none():
    assert spread([{"a": 1.0}, {"a": 2.0}, {"a": 6.0}]) == {"a": {"mean": 3.0, "std": pytest.approx(7**0.5)}}
    assert spread([{"a": 1.0}, {"a": None}]) == {"a": {"mean": None, "std": None}}
    assert spread([{"a": 1.0}]) == {"a": {"mean": 1.0, "std": None}}
    assert spread([]) == {}


@pytest.mark.parametrize(
    "losses, changed, inside",
    [
        ([0.3, 0.7], [], True),  # their mean is inside, though neither is
        ([0.5, 0.9], [], False),
        ([0.5, None], [], False),
        ([0.3, 0.7], ["validation.k"], None),
        ([0.3, 0.7], None, None),
    ],
)
def test_the_books_verdict_is_on_the_mean_of_the_folds(words, losses, changed, inside):
    config = compose(words)
    config = replace(config, book=Book("4.10", {"val_loss": [0.4, 0.6]}))
    facts = {"epochs": 1, "steps": 1, "seconds": 1.0, "dead": None}
    folds = {f"fold-{fold}": {"metrics": {"val_loss": loss}, **facts} for fold, loss in enumerate(losses)}
    verdict = kfold.summarise(config, folds, None, "finished", changed)["book"]
    assert verdict == {"section": "4.10", "band": {"val_loss": [0.4, 0.6]}, "inside": inside, "changed": changed}


def test_one_fold_alone_is_that_fold_of_the_whole(train, tmp_path):
    train("run")
    for fold in (0, 2):
        assert train(f"alone-{fold}", f"validation.fold={fold}").code == 0
        assert_same_bits(tmp_path / f"alone-{fold}", tmp_path / "run" / f"fold-{fold}")
        assert "folds" not in result(tmp_path / f"alone-{fold}")


def test_a_repetition_is_the_folds_of_another_seed(train, tmp_path):
    train("run", "validation.repeats=2")
    names = [*FOLDS, *(f"{name}-repeat-1" for name in FOLDS)]
    whole = result(tmp_path / "run")
    assert [(fold["directory"], fold["seed"]) for fold in whole["folds"]] == [
        (name, 2 if "repeat" in name else 1) for name in names
    ]
    train("other", "seed=2")
    for name in FOLDS:
        assert_same_bits(tmp_path / "run" / f"{name}-repeat-1", tmp_path / "other" / name)
    values = [fold["metrics"]["val_loss"] for fold in whole["folds"]]
    assert whole["metrics"]["val_loss"]["std"] == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_a_repetition_of_the_largest_seed_is_a_sound_run(words):
    config = compose([*words, f"seed={2**32 - 1}", "validation.repeats=2"])
    seeds = {one.seed for _, one in kfold.folds(config, RunDirectory(Path("run")))}
    assert seeds == {2**32 - 1, 0}


# --- the test set -------------------------------------------------------------------------------------------------


@pytest.fixture
def looks(stripes, monkeypatch):
    """By the folder of a run: how many images of the test set were given to a network in it."""
    tests, found, current = {image.numpy().tobytes() for image in stripes.test_images}, {}, []
    prepared, run = Preparation.__call__, kfold.run

    def spied(preparation, images):
        found[current[-1]] += sum(image.numpy().tobytes() in tests for image in images)
        return prepared(preparation, images)

    def told(config, directory, *arguments):
        current.append(directory.path.name)
        found[directory.path.name] = 0
        return run(config, directory, *arguments)

    monkeypatch.setattr(Preparation, "__call__", spied)
    monkeypatch.setattr(kfold, "run", told)
    return found


def test_no_fold_looks_at_the_test_set_and_the_refit_does_once(train, tmp_path, looks):
    assert train("run", "validation.refit=true").code == 0
    assert looks == {**dict.fromkeys(FOLDS, 0), "refit": 101}
    whole, refit = result(tmp_path / "run"), result(tmp_path / "run" / "refit")
    assert whole["refit"]["metrics"] == refit["metrics"]
    assert whole["refit"]["test_set"] == "measured once, after all folds"
    assert whole["refit"]["at"].startswith("20")
    assert {"test_loss", "test_accuracy"} <= refit["metrics"].keys()
    assert not [name for name in refit["metrics"] if name.startswith("val_")]
    assert "test_loss" not in whole["metrics"]
    assert refit["steps"] == EPOCHS * 6  # of all 330 images


def test_the_pictures_of_a_fold_do_not_show_the_test_set(train, tmp_path, looks, monkeypatch):
    monkeypatch.setattr("d2lrun.runs.run.draw", draw)
    assert train("run", "validation.k=2", "run.pictures=true", "validation.refit=true").code == 0
    assert looks == {"fold-0": 0, "fold-1": 0, "refit": 2 * 101}  # measured, and shown with what is mistaken
    for name in ("curves.png", "fold-0/predictions.png", "refit/predictions.png"):
        assert (tmp_path / "run" / name).read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert all(f"<td>{name}</td>" in page for name in ("fold-0", "fold-1", "mean", "std"))


def test_a_finished_refit_is_not_measured_again(train, tmp_path, looks):
    train("run", "validation.refit=true")
    (tmp_path / "run" / "result.json").unlink()
    before = snapshot(tmp_path / "run" / "refit")
    looks.clear()
    assert train("run", "validation.refit=true").code == 0
    assert looks == {}
    assert snapshot(tmp_path / "run" / "refit") == before


# --- early stopping -----------------------------------------------------------------------------------------------


def test_each_fold_stops_by_itself_and_the_refit_trains_as_long_as_they_did(train, tmp_path, monkeypatch):
    """Their val_loss is lowest in epochs 1, 2 and 6, so that they end after 3, 4 and 8; the mean is 3."""
    from d2lrun.training import fit

    best, keep_best = {0: 1, 1: 2, 2: 6}, fit.keep_best
    run, current = kfold.run, []

    def told(config, *arguments):
        current.append(config.validation)
        return run(config, *arguments)

    def made_up(state, record, metric):
        keep_best(state, {**record, "val_loss": abs(record["epoch"] - best[current[-1].fold]) / 10}, metric)

    monkeypatch.setattr(kfold, "run", told)
    monkeypatch.setattr(fit, "keep_best", made_up)
    assert train("run", "train.epochs=9", "train.patience=2", "validation.refit=true").code == 0
    whole = result(tmp_path / "run")
    assert [(fold["selected_epoch"], fold["epochs"]) for fold in whole["folds"]] == [(1, 3), (2, 4), (6, 8)]
    assert whole["refit"]["epochs"] == 3


def test_one_fold_alone_is_trained_without_the_refit_and_that_is_said(train, tmp_path):
    done = train("run", "validation.fold=1", "validation.refit=true")
    assert done.code == 0
    assert "this run is one fold: validation.refit is used only after all folds" in done.out
    assert not (tmp_path / "run" / "refit").exists()
    assert "val_loss" in result(tmp_path / "run")["metrics"]


def test_a_refit_trains_no_shorter_than_its_warmup(words):
    """Or its config.yaml would be refused when it is read again."""
    config = compose([*words, "train.epochs=5", "train.patience=1", "schedule.warmup=2.5"])
    assert kfold.everything(config, [1, 1, 2]).train.epochs == 3
    assert kfold.everything(config, [4, 4, 4]).train.epochs == 4


# --- stopped, and continued ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["the same command", "resume"])
def test_stopped_in_a_fold_it_goes_on_there_to_the_same_bits(d2lrun, train, tmp_path, at_step, again):
    train("whole", "validation.refit=true")
    with at_step(EPOCHS * STEPS + 3, interrupt):
        stopped = train("run", "validation.refit=true")
    assert stopped.code == 130
    assert stopped.err == "\nstopped, saved; continue with: d2lrun resume run\n"
    halted = result(tmp_path / "run")
    assert halted["status"] == "stopped"
    assert [fold["directory"] for fold in halted["folds"]] == ["fold-0"]
    before = snapshot(tmp_path / "run" / "fold-0")
    continued = d2lrun("resume", "run") if again == "resume" else train("run", "validation.refit=true")
    assert (continued.code, continued.err) == (0, "")
    assert snapshot(tmp_path / "run" / "fold-0") == before
    assert f"resuming at epoch 1, step {3}" in (tmp_path / "run" / "fold-1" / "run.log").read_text("utf-8")
    for name in (*FOLDS, "refit"):
        assert_same_bits(tmp_path / "run" / name, tmp_path / "whole" / name)
    assert timeless(result(tmp_path / "run")) == timeless(result(tmp_path / "whole"))


def test_a_finished_one_is_left_alone(d2lrun, train, tmp_path):
    train("run")
    before = snapshot(tmp_path / "run")
    for again in (train("run"), d2lrun("resume", "run")):
        assert again.code == 0
        assert again.out.startswith("already finished: run\n")
        assert "± std" in again.out
    assert snapshot(tmp_path / "run") == before


def test_other_folds_in_the_same_directory_are_refused(train):
    train("run")
    refused = train("run", "validation.k=4")
    assert refused.code == 2
    assert "validation.k=3 there, validation.k=4 now" in refused.err


def test_a_fold_continued_by_itself_is_the_same(d2lrun, train, tmp_path, at_step):
    train("whole")
    with at_step(EPOCHS * STEPS + 3, interrupt):
        train("run")
    assert d2lrun("resume", "run/fold-1").code == 0
    before = snapshot(tmp_path / "run" / "fold-1")
    assert train("run").code == 0
    assert snapshot(tmp_path / "run" / "fold-1") == before
    assert_same_bits(tmp_path / "run" / "fold-1", tmp_path / "whole" / "fold-1")


def test_a_fold_that_diverges_is_named_and_the_same_command_goes_on(train, tmp_path, at_step):
    with at_step(EPOCHS * STEPS + 3, diverge):
        failed = train("run")
    assert failed.code == 1
    assert failed.err == "error: fold-1: diverged: loss nan\nhint: try a smaller optimizer.lr\n"
    halted = result(tmp_path / "run")
    assert (halted["status"], halted["error"]) == ("diverged", "fold-1: diverged: loss nan")
    assert result(tmp_path / "run" / "fold-1")["status"] == "diverged"
    before = snapshot(tmp_path / "run" / "fold-0")
    assert train("run").code == 0
    assert snapshot(tmp_path / "run" / "fold-0") == before
    assert [fold["status"] for fold in result(tmp_path / "run")["folds"]] == ["finished"] * 3


@pytest.mark.parametrize("word", ["device=cuda", "model.weights=nowhere"])
def test_refused_before_its_first_step_the_directory_is_still_free(train, tmp_path, word):
    if word == "device=cuda" and torch.cuda.is_available():
        word = "device=mps"
    assert train("run", word).code == 2
    again = train("run")
    assert (again.code, again.err) == (0, "")


def test_a_run_without_folds_that_was_refused_leaves_the_directory_free_too(d2lrun, words):
    unfolded = [*words[:-3], "run.dir=run"]
    assert d2lrun(*unfolded, "model.weights=nowhere").code == 2
    assert d2lrun(*unfolded).code == 0


def test_more_folds_than_examples_are_refused(train, tmp_path):
    refused = train("run", "validation.k=331")
    assert refused.code == 2
    assert "validation.k=331: more folds than examples to train with (330)" in refused.err


def test_a_damaged_result_of_a_fold_is_worked_out_anew(train, tmp_path):
    train("run")
    whole = timeless(result(tmp_path / "run"))
    for content in (b"", b'{"status": "finis', b'{"status": "finished"}', b'{"status": "finished", "metrics": 3}'):
        (tmp_path / "run" / "result.json").unlink()
        (tmp_path / "run" / "fold-1" / "result.json").write_bytes(content)
        assert train("run").code == 0
        assert timeless(result(tmp_path / "run")) == whole


def test_a_fold_without_its_curve_does_not_spoil_the_others(train, tmp_path):
    train("run")
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / "fold-1" / "metrics.jsonl").write_bytes(b"")
    assert train("run", "run.pictures=true").code == 0
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
    shutil.rmtree(tmp_path / "run" / "fold-1" / "checkpoints")


# --- other verbs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["evaluate", "predict", "generate"])
@pytest.mark.parametrize("refit", ["false", "true"])
def test_a_verb_that_needs_one_model_names_a_folder_that_has_one(d2lrun, train, verb, refit):
    train("run", f"validation.refit={refit}")
    refused = d2lrun(verb, "run")
    assert refused.code == 2
    assert refused.err.startswith("error: run holds a model for each of 3 folds, not one\n")
    assert refused.err.endswith(f"hint: name one of them: run/{'refit' if refit == 'true' else 'fold-0'}\n")


def test_the_weights_of_a_fold_begin_another_run_but_those_of_all_are_refused(train, words, d2lrun):
    train("run")
    assert train("next", "model.weights=run/fold-0").code == 0
    refused = train("other", "model.weights=run")
    assert refused.code == 2
    assert "run/fold-0" in refused.err


def test_a_fold_is_evaluated_on_what_validated_it_and_the_refit_on_the_test_set(d2lrun, train, tmp_path):
    train("run", "validation.refit=true")
    for name, part in (("fold-1", "val"), ("refit", "test")):
        metrics = result(tmp_path / "run" / name)["metrics"]
        wanted = f"{part} loss {metrics[f'{part}_loss']:.4f}  {part} accuracy {metrics[f'{part}_accuracy']:.4f}\n"
        assert d2lrun("evaluate", f"run/{name}").out == wanted


def test_the_summary_is_that_of_the_network(d2lrun, words):
    folded, plain = d2lrun("summary", *words), d2lrun("summary", *words[:-3])
    assert folded.code == 0
    assert folded.out == plain.out


@pytest.mark.parametrize(
    "more, runs", [([], 3), (["validation.repeats=2"], 6), (["validation.refit=true"], 4), (["validation.fold=0"], 1)]
)
def test_the_cost_is_that_of_all_folds(d2lrun, words, monkeypatch, more, runs):
    monkeypatch.setattr(cost, "MEASURING", 0.0)
    monkeypatch.setattr(cost, "timed", lambda action: 100.0)
    config = compose([*words, *more])
    found, _ = cost.measure(config, Console(quiet=True))
    assert (found.runs, found.seconds) == (runs, runs * EPOCHS * (STEPS + 2) * 100.0)
    told = d2lrun("cost", *words, *more).out
    assert (f"{runs} × {EPOCHS} × ({STEPS} steps" in told) == (runs > 1)


# --- text ---------------------------------------------------------------------------------------------------------

TEXT = {
    "ngram": ["model=ngram", "model.order=2"],
    "rnn": ["model=rnn", "model.hidden=8", "train.limit_batches=3", "train.epochs=2"],
}


@pytest.mark.parametrize("model", TEXT.values(), ids=TEXT)
def test_a_text_is_folded_too(d2lrun, tmp_path, model):
    common = ["dataset=pydoc", "dataset.max_tokens=4000", "train.batch_size=4", "dataset.steps=10", "device=cpu"]
    folded = ["validation=kfold", "validation.k=3", "validation.refit=true", "run.pictures=false", "run.dir=run"]
    done = d2lrun(*model, *common, *folded)
    assert (done.code, done.err) == (0, "")
    whole = result(tmp_path / "run")
    assert [fold["directory"] for fold in whole["folds"]] == FOLDS
    values = [fold["metrics"]["val_perplexity"] for fold in whole["folds"]]
    assert whole["metrics"]["val_perplexity"]["mean"] == pytest.approx(np.mean(values))
    assert len(set(values)) == 3
    assert whole["refit"]["directory"] == "refit"
    assert d2lrun("generate", "run/refit", "length=5").code == 0
    refused = d2lrun("generate", "run")
    assert (refused.code, refused.err.splitlines()[1]) == (2, "hint: name one of them: run/refit")
