"""The best setting of a sweep, trained on everything once all choosing is done."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml
from safetensors.numpy import load_file

from d2lrun.errors import Failed

SWEEP = Path("outputs", "sweeps", "s")
STEPS = 3 * 4  # of a run of three folds: 220 of 330 images, one epoch
WHOLE = 6  # of 330 images


@pytest.fixture
def run(d2lrun, stripes_folder):
    """``run(WORD…)``: a sweep of small runs of three folds, the best of which is wanted on everything."""
    small = ["model=softmax", "train.epochs=1", "train.batch_size=64", "device=cpu", "device.threads=1"]
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "sweep.name=s"]
    folds = ["validation=kfold", "validation.k=3", "validation.refit=true"]
    return lambda *words: d2lrun("-m", *small, *data, *folds, *words)


def told():
    return json.loads((SWEEP / "sweep.json").read_text("utf-8"))


def refits():
    return sorted(path.name for path in SWEEP.glob("refit-*"))


def snapshot(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def fail():
    raise Failed("made to fail")


def test_the_best_alone_is_trained_on_everything_and_sees_the_test_set(run):
    done = run("optimizer.lr=0.0001,0.5")
    assert (done.code, done.err) == (0, "")
    refit = told()["refit"]
    assert (refit["status"], refit["overrides"]) == ("finished", ["optimizer.lr=0.5"])
    assert refits() == [refit["directory"]]
    assert refit["test_set"] == "measured once, after all choosing"
    assert refit["at"].startswith("20")
    assert {"test_loss", "test_accuracy"} <= refit["metrics"].keys()
    config = yaml.safe_load((SWEEP / refit["directory"] / "config.yaml").read_text("utf-8"))
    assert (config["validation"], config["optimizer"]["lr"]) == ({"name": "once"}, 0.5)
    assert json.loads((SWEEP / refit["directory"] / "result.json").read_text("utf-8"))["steps"] == WHOLE
    for job in told()["jobs"]:
        assert not any(name.startswith("test_") for name in job["metrics"])
        assert not (SWEEP / job["directory"] / "refit").exists()
    assert "refit       on all training data: test accuracy" in done.out


def test_it_can_be_asked_for_later_and_is_done_once(run):
    run("optimizer.lr=0.1,0.5", "validation.refit=false")
    assert (told()["refit"], refits()) == (None, [])
    before = [snapshot(SWEEP / job["directory"]) for job in told()["jobs"]]
    assert "refit finished: optimizer.lr=0." in run("optimizer.lr=0.1,0.5").out
    assert [snapshot(SWEEP / job["directory"]) for job in told()["jobs"]] == before
    refit, files = told()["refit"], snapshot(SWEEP / refits()[0])
    assert run("optimizer.lr=0.1,0.5").code == 0
    assert (told()["refit"], snapshot(SWEEP / refits()[0])) == (refit, files)
    assert "refit finished" not in run("optimizer.lr=0.1,0.5").out


def test_of_folds_and_seeds_spread_over_the_sweep_there_is_one(run):
    assert run("validation.fold=0,1,2", "seed=1,2", "optimizer.lr=0.0001,0.5").code == 0
    refit = told()["refit"]
    assert (refit["overrides"], refits()) == (["optimizer.lr=0.5"], [refit["directory"]])
    assert json.loads((SWEEP / refit["directory"] / "result.json").read_text("utf-8"))["seed"] == 1


def test_with_early_stopping_it_trains_as_long_as_the_folds_found_best(run):
    assert run("optimizer.lr=0.5", "train.epochs=9", "train.patience=1").code == 0
    (job,) = told()["jobs"]
    folds = json.loads((SWEEP / job["directory"] / "result.json").read_text("utf-8"))["folds"]
    selected = [fold["selected_epoch"] for fold in folds]
    assert told()["refit"]["epochs"] == round(sum(selected) / 3)


def test_where_nothing_is_the_best_there_is_none(run):
    assert run("optimizer.lr=1e38,2e38").code == 3
    assert (told()["best"], told()["refit"], refits()) == (None, None, [])


def test_a_sweep_that_stops_at_a_failure_has_none_until_it_is_complete(run, at_step):
    with at_step(STEPS + 2, fail):
        assert run("optimizer.lr=0.1,0.5", "sweep.on_error=stop").code == 3
    assert (told()["refit"], refits()) == (None, [])
    assert run("optimizer.lr=0.1,0.5", "sweep.on_error=stop").code == 0
    assert told()["refit"]["status"] == "finished"


def test_where_it_was_stopped_it_goes_on_to_the_same_bits(run, at_step):
    run("optimizer.lr=0.1,0.5", "sweep.name=whole")
    with at_step(2 * STEPS + 3, lambda: os.kill(os.getpid(), signal.SIGINT)):
        assert run("optimizer.lr=0.1,0.5").code == 130
    assert told()["refit"]["status"] == "stopped"
    assert run("optimizer.lr=0.1,0.5").code == 0
    assert "resuming at epoch 1, step 3" in (SWEEP / refits()[0] / "run.log").read_text("utf-8")
    one, other = (load_file(folder / refits()[0] / "model.safetensors") for folder in (SWEEP, SWEEP.parent / "whole"))
    assert all((one[name] == other[name]).all() for name in one)


def test_a_refit_that_fails_is_named_and_goes_on_by_the_same_command(run, at_step):
    with at_step(2 * STEPS + 3, fail):
        done = run("optimizer.lr=0.1,0.5")
    assert (done.code, told()["refit"]["status"]) == (3, "failed")
    assert "refit       failed: made to fail" in done.out
    assert run("optimizer.lr=0.1,0.5").code == 0
    assert told()["refit"]["status"] == "finished"


def test_a_second_look_at_the_test_set_is_said_to_be_one(run):
    run("optimizer.lr=0.02", "train.epochs=4", "sweep.metric=val_loss")
    first = told()["refit"]["directory"]
    assert run("optimizer.lr=0.02,0.5", "train.epochs=4", "sweep.metric=val_loss").code == 0
    assert told()["refit"]["test_set"] == f"measured once, after all choosing, but before that for {first}, too"
    assert len(refits()) == 2


def test_it_is_of_the_whole_sweep(run):
    refused = run("validation.refit=true,false")
    assert refused.code == 2
    assert "validation.refit: it belongs to the whole sweep, not to a run" in refused.err


def test_a_search_ends_with_one_too(run):
    words = ["sweep=optuna", "sweep.sampler=random", "optimizer.lr=interval(1e-3,1)"]
    assert run(*words, "sweep.trials=3").code == 0
    best, refit = told()["best"], told()["refit"]
    assert (refit["overrides"], refit["status"]) == (best["overrides"], "finished")
    assert not any(name.startswith("test_") for job in told()["jobs"] for name in job["metrics"])
