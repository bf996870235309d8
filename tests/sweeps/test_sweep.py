"""Many runs by one command: which they are, what is left of them the second time, and what one file tells of all."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml

from d2lrun.config import schema
from d2lrun.disk.rundir import RunDirectory, config_hash
from d2lrun.errors import Diverged, Failed
from d2lrun.sweeps import grid
from tests.bits import timeless

SWEEPS = Path("outputs", "sweeps")


def told(name="*"):
    """The content of the one sweep.json there is, or of that of the sweep ``name``."""
    (path,) = SWEEPS.glob(f"{name}/sweep.json")
    return json.loads(path.read_text("utf-8"))


def folders():
    return {path.name for path in SWEEPS.iterdir()} if SWEEPS.exists() else set()


# --- which runs a command means -----------------------------------------------------------------------------------


@pytest.fixture
def listed(d2lrun, monkeypatch):
    """``listed(WORD…)``: the overrides of every run that the command would train, and their configs."""
    numbers = itertools.count()

    def listed(*words):
        name = f"listed-{next(numbers)}"
        with monkeypatch.context() as patch:
            patch.setattr(grid, "carry_out", lambda *arguments: None)
            outcome = d2lrun("-m", f"sweep.name={name}", *words)
        assert (outcome.code, outcome.err) == (3, "")  # nothing of it has been done
        jobs = told(name)["jobs"]
        configs = [
            yaml.safe_load((SWEEPS / name / job["directory"] / "config.yaml").read_text("utf-8")) for job in jobs
        ]
        return [" ".join(job["overrides"]) for job in jobs], configs

    return listed


def test_values_of_several_keys_are_combined(listed):
    names, configs = listed("optimizer.lr=0.1,0.5", "seed=1,2,3", "train.epochs=4")
    assert names == [f"optimizer.lr={lr} seed={seed}" for lr in (0.1, 0.5) for seed in (1, 2, 3)]
    assert [(one["optimizer"]["lr"], one["seed"]) for one in configs] == list(itertools.product((0.1, 0.5), (1, 2, 3)))
    assert {one["train"]["epochs"] for one in configs} == {4}


SYNTAX = {
    "range": ("seed=range(0,3)", ["seed=0", "seed=1", "seed=2"]),
    "a range of reals": ("optimizer.lr=range(0.5,2,0.5)", [f"optimizer.lr={lr}" for lr in (0.5, 1.0, 1.5)]),
    "choice": ("seed=choice(3,1)", ["seed=3", "seed=1"]),
    "one choice": ("seed=choice(3)", ["seed=3"]),
    "glob of several": ("model=glob([lenet*,mlp],exclude=*-bn)", ["model=lenet", "model=mlp"]),
    "glob": ("model=glob(lenet*)", ["model=lenet", "model=lenet-bn"]),
    "sorted": ("seed=sort(3,1,2)", ["seed=1", "seed=2", "seed=3"]),
    "lists": ("model.hidden=[8],[16,8]", ["model.hidden=[8]", "model.hidden=[16,8]"]),
    "groups": ("optimizer=sgd,adam", ["optimizer=sgd", "optimizer=adam"]),
    "null": ("train.clip=null,1", ["train.clip=null", "train.clip=1"]),
    "nothing": ("seed=3", [""]),
}


@pytest.mark.parametrize("word, runs", SYNTAX.values(), ids=SYNTAX)
def test_every_syntax_of_hydra_is_understood(listed, word, runs):
    assert listed(word)[0] == runs


def test_each_model_of_a_sweep_has_its_own_recipe(listed):
    _, configs = listed("model=mlp,lenet")
    assert [one["optimizer"]["lr"] for one in configs] == [0.1, 0.9]


GRIDS = {
    "lists": "{optimizer.lr: [0.1, 0.5], model.hidden: [[8], [16, 8]]}",
    "Hydra's syntax": "{optimizer.lr: 'choice(0.1,0.5)', model.hidden: '[8],[16,8]'}",
}


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
def test_a_grid_can_be_named_in_a_file(listed, tmp_path, grid):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = f"# @package _global_\n# Mine\nsweep:\n  grid: {grid}\n"
    (tmp_path / "mine" / "experiment" / "mine.yaml").write_text(text, encoding="utf-8")
    common = ("--config-dir", "mine", "experiment=mine")
    _, configs = listed(*common)
    both = [(one["optimizer"]["lr"], one["model"]["hidden"]) for one in configs]
    assert both == [(0.1, [8]), (0.1, [16, 8]), (0.5, [8]), (0.5, [16, 8])]
    assert listed("--config-dir", "mine", "experiment=glob(m*)")[0] == ["experiment=mine"]
    names, configs = listed(*common, "optimizer.lr=0.9", "seed=1,2")
    assert len(names) == 4
    assert {one["optimizer"]["lr"] for one in configs} == {0.9}  # the command line wins


@pytest.mark.parametrize("text", ["时间 旅行者", "a 'b' \"c\"", "a=b,c", "x/y-z.w"])
def test_texts_of_a_grid_arrive_as_they_are(listed, text):
    grid = json.dumps([text, "other"], ensure_ascii=False).replace('\\"', '\\"')
    _, configs = listed("model=rnn", "dataset=pydoc", f"sweep.grid={{dataset.prefix:{grid}}}")
    assert [one["dataset"]["prefix"] for one in configs] == [text, "other"]


def test_zipped_keys_go_together(listed):
    names, _ = listed("model=mlp,lenet", "seed=1,2", "optimizer.lr=0.1,0.9", "sweep.zip=[model,optimizer.lr]")
    together = ["model=mlp optimizer.lr=0.1", "model=lenet optimizer.lr=0.9"]
    assert names == [f"seed={seed} {pair}" for seed in (1, 2) for pair in together]


def test_combinations_are_taken_as_they_are(listed):
    combinations = 'sweep.combinations=["model=mlp model.hidden=[8]","model=lenet optimizer.lr=0.9"]'
    names, configs = listed(combinations, "seed=1,2")
    each = ["model=mlp model.hidden=[8]", "model=lenet optimizer.lr=0.9"]
    assert names == [f"seed={seed} {one}" for seed in (1, 2) for one in each]
    assert [one["model"]["name"] for one in configs] == ["mlp", "lenet"] * 2


def test_all_of_it_goes_together(listed):
    names, _ = listed(
        *("seed=range(0,2)", "train.epochs=1,2", "train.batch_size=32,64", "sweep.zip=[train.epochs,train.batch_size]"),
        *("sweep.grid={optimizer.lr:[0.1,0.5]}", 'sweep.combinations=["model=mlp","model=softmax"]'),
    )
    assert len(set(names)) == len(names) == 2 * 2 * 2 * 2
    assert "seed=0 optimizer.lr=0.1 train.epochs=1 train.batch_size=32 model=mlp" in names


def test_runs_of_the_same_config_are_one(listed):
    names, _ = listed("optimizer.lr=0.1,0.10,1e-1", "seed=1,1")
    assert names == ["optimizer.lr=0.1 seed=1"]


def test_of_a_key_that_is_given_twice_the_last_word_counts(listed):
    assert listed("seed=1,2", "model=mlp", "seed=3,4", "model=lenet")[0] == ["seed=3", "seed=4"]
    names, configs = listed("seed=1,2", "optimizer.lr=0.1,0.2", "seed=7", "optimizer.lr=3,4")
    assert names == ["optimizer.lr=3", "optimizer.lr=4"]
    assert {one["seed"] for one in configs} == {7}


def test_other_data_is_another_run_although_a_run_may_be_continued_from_elsewhere(listed):
    names, configs = listed("dataset.dir=one,two")
    assert names == ["dataset.dir=one", "dataset.dir=two"]
    assert [one["dataset"]["dir"] for one in configs] == ["one", "two"]
    assert len({one["run"]["dir"] for one in configs}) == 2


REFUSED = {
    "interval": (["optimizer.lr=interval(0.1,1)"], "an interval has no end of values", "sweep=optuna"),
    "a run's folder": (["seed=1,2", "run.dir=here"], "run.dir: the folder of one run", "sweep.name=NAME"),
    "runs' folders": (["run.dir=here,there"], "run.dir: the folder of one run", "sweep.name=NAME"),
    "sweeps": (["sweep.name=a,b"], "sweep.name: it belongs to the whole sweep", "give it one value"),
    "engines": (["sweep=grid,optuna"], "sweep: it belongs to the whole sweep", "give it one value"),
    "unequal": (["seed=1,2", "train.epochs=1,2,3", "sweep.zip=[seed,train.epochs]"], "(seed 2, train.epochs 3)", ""),
    "zip of nothing": (["seed=1,2", "sweep.zip=[seed,lr]"], "sweep.zip: lr has no values", "KEY=VALUE,VALUE"),
    "quotes": (['sweep.combinations=["model=\'mlp"]'], 'sweep.combinations: "model=\'mlp": No closing', "such as"),
    "grid in one": (['sweep.combinations=["seed=1,2"]'], "'seed=1,2': wanted one value for a key", "such as"),
    "an empty one": (['sweep.combinations=[""]'], "'': wanted one value for a key", "such as"),
    "a grid of one value": (["sweep.grid={seed:3}"], "seed=3: wanted a list of values", "sweep.grid={"),
    "a glob of nothing": (["model=glob(x*)"], "model=glob(x*): no option matches", "lenet, lenet-bn"),
    "a glob of no group": (["seed=glob(1*)"], "seed=glob(1*): no option matches", "a glob is for a group"),
    "too many": (["seed=range(0,1000)", "train.epochs=range(1,1000)"], "999,000 combinations", "at most 100,000"),
    "far too many": (["seed=range(0,1000000000)"], "seed=range(0,1000000000): wanted at most 100,000 values", "fewer"),
    "an empty range": (["seed=range(5,0)"], "seed=range(5,0): no value in it", "a range begins below its end"),
    "a range of 0": (["optimizer.lr=range(0,0)"], "optimizer.lr=range(0,0): no value in it", ""),
    "no steps": (["seed=range(0,3,0)"], "seed=range(0,3,0): ", "a range is range(1,5)"),
    "no steps of reals": (["optimizer.lr=range(0.0,1.0,0.0)"], "optimizer.lr=range(0.0,1.0,0.0): ", ""),
    "an empty named one": (['sweep.grid={seed:"range(3,3)"}'], "seed=range(3,3): no value in it", ""),
    "twice": (['sweep.combinations=["seed=1","seed=2"]', "seed=3,4"], "seed has values of its own", "one of the two"),
    "a launcher's": (
        ['sweep.combinations=["hydra.launcher.n_jobs=2"]'],
        "belongs to the whole sweep, not to a run",
        "",
    ),
    "what no run measures": (["seed=1,2", "sweep.metric=val_acuracy"], "did you mean val_accuracy?", "val_loss"),
    "a path": (["seed=1,2", "sweep.name=../x"], "names a folder", ""),
    "a metric of the test set": (["seed=1,2", "sweep.metric=test_loss"], "wanted a metric of validation", ""),
}


@pytest.mark.parametrize("words, message, hint", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_before_anything_is_written(d2lrun, tmp_path, words, message, hint):
    refused = d2lrun("-m", *words)
    assert refused.code == 2
    error, _, rest = refused.err.partition("hint: ")
    assert error.startswith("error: ") and message in error
    assert hint in rest
    assert list(tmp_path.iterdir()) == []


def test_all_complaints_of_all_runs_come_at_once(d2lrun, tmp_path):
    words = ("model=mlp,lent", "optimizer.lr=0.1,-1,nan", "train.epochs=0", "trian.epochs=1,2")
    refused = d2lrun("-m", *words)
    assert refused.code == 2
    lines = refused.err.splitlines()
    assert lines[0] == "error: 5 problems in the configuration"
    for given in ("model=lent", "optimizer.lr=-1", "optimizer.lr=nan", "train.epochs=0", "trian.epochs"):
        assert len([line for line in lines if line.startswith(f"  {given}:")]) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def place(d2lrun, monkeypatch):
    """``place(WORD…)``: the folder in which the sweep would be."""
    monkeypatch.setattr(grid, "carry_out", lambda *arguments: None)

    def place(*words):
        before = folders()
        assert d2lrun("-m", *words).code == 3  # nothing of it has been done
        new = folders() - before
        newest = max(SWEEPS.iterdir(), key=lambda path: (path / "sweep.json").stat().st_mtime_ns)
        return newest.name if not new else new.pop()

    return place


def test_a_sweeps_folder_is_that_of_its_keys_and_not_of_their_values(place):
    one = place("model=mlp", "optimizer.lr=0.1,0.5", "seed=1,2")
    assert one.startswith("optimizer.lr_seed-")
    for words in (
        ("model=mlp", "optimizer.lr=0.5,0.1,0.9", "seed=range(0,5)"),
        ("seed=1,2", "optimizer.lr=0.1,0.5", "model=mlp"),
        ("model=mlp", "sweep.on_error=stop", "sweep.grid={optimizer.lr:[1,2],seed:[3,4]}"),
        ("model=mlp", "optimizer.lr=choice(0.5)", "seed=choice(1)", "device.threads=1"),
    ):
        assert place(*words) == one
    others = {place("model=lenet", "optimizer.lr=0.1,0.5", "seed=1,2"), place("model=mlp", "seed=1,2")}
    assert len(others | {one}) == 3
    assert place("seed=1,2") == "seed"
    assert place("experiment=capacity") == "capacity"
    assert place("experiment=capacity", "seed=1,2") == "capacity_seed"
    assert place("sweep.name=mine", "seed=1,2") == "mine"


def test_many_long_keys_have_a_folder_too(place):
    keys = [
        "model.init.std=0.1,0.2",
        "model.init.value=0.1,0.2",
        "model.init.bias=0.1,0.2",
        "model.init.linear=normal,torch",
    ]
    names = [place(*keys, f"{last}=1,2") for last in ("schedule.warmup", "train.clip")]
    assert len(set(names)) == 2
    assert max(map(len, names)) < 80


def test_the_root_may_have_spaces_and_quotes(d2lrun, tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "carry_out", lambda *arguments: None)
    for word, folder in (("run.root='my runs'", "my runs"), ('run.root="its"', "its"), ("run.root=a b", "a b")):
        assert d2lrun("-m", word, "seed=1,2").code == 3
        assert (tmp_path / folder / "sweeps" / "seed" / "sweep.json").exists()


# --- sweeps that train --------------------------------------------------------------------------------------------


@pytest.fixture
def run(d2lrun, stripes_folder):
    """``run(WORD…)``: a sweep of small runs, 5 steps each."""
    small = ["model=softmax", "train.epochs=1", "train.batch_size=64", "device=cpu", "device.threads=1"]
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "validation=holdout", "sweep.name=s"]
    return lambda *words: d2lrun("-m", *small, *data, *words)


STEPS = 5  # 297 of 330 images train


def states(summary=None):
    return [job["status"] for job in (summary or told())["jobs"]]


def folder_of(place):
    """The folder of the n-th job."""
    return SWEEPS / "s" / told()["jobs"][place]["directory"]


def snapshot(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def starts(folder):
    """How often a run was begun or gone on with."""
    return (folder / "run.log").read_text("utf-8").count(f", in {folder}, data from ")


def signalled(name):
    return lambda: os.kill(os.getpid(), getattr(signal, name))


def fail():
    raise Failed("made to fail")


def diverge():
    raise Diverged("diverged: made to")


def test_a_sweep_tells_of_every_run(run):
    done = run("optimizer.lr=0.1,0.5", "seed=1,2")
    assert (done.code, done.err) == (0, "")
    summary = told()
    assert states() == ["finished"] * 4
    assert summary["keys"] == ["optimizer.lr", "seed"]
    assert [job["values"] for job in summary["jobs"]] == [
        {"optimizer.lr": lr, "seed": seed} for lr in (0.1, 0.5) for seed in (1, 2)
    ]
    for place, job in enumerate(summary["jobs"]):
        result = json.loads((folder_of(place) / "result.json").read_text("utf-8"))
        assert job["metrics"] == result["metrics"]
        assert (job["epochs"], job["seconds"], job["error"]) == (1, result["seconds"], None)
    assert summary["command"].startswith("d2lrun -m model=softmax ")
    assert summary["rerun"] == summary["command"]


def test_seeds_are_one_group_and_the_best_is_that_of_validation(run):
    run("optimizer.lr=0.0001,0.5", "seed=1,2,3")
    summary = told()
    assert [group["jobs"] for group in summary["groups"]] == [[0, 1, 2], [3, 4, 5]]
    for group in summary["groups"]:
        values = [summary["jobs"][place]["metrics"]["val_accuracy"] for place in group["jobs"]]
        wanted = {"mean": pytest.approx(np.mean(values)), "std": pytest.approx(np.std(values, ddof=1)), "n": 3}
        assert group["metrics"]["val_accuracy"] == wanted
    assert (summary["metric"], summary["best"]["overrides"]) == ("val_accuracy", ["optimizer.lr=0.5"])


def test_folds_spread_over_a_sweep_are_those_of_one_run(run):
    run("validation=kfold", "validation.k=3", "validation.fold=0,1,2")
    (group,) = told()["groups"]
    assert run("validation=kfold", "validation.k=3", "sweep.name=whole").code == 0
    whole = json.loads(next((SWEEPS / "whole").glob("*/result.json")).read_text("utf-8"))["metrics"]
    for name in ("val_loss", "val_accuracy", "train_loss"):
        assert group["metrics"][name]["n"] == 3
        for key in ("mean", "std"):
            assert group["metrics"][name][key] == pytest.approx(whole[name][key])
    (job,) = told("whole")["jobs"]
    assert job["metrics"]["val_loss"]["mean"] == whole["val_loss"]["mean"]


def test_without_validation_nothing_is_ranked_and_it_is_said_why(run):
    run("validation=none", "seed=1,2")
    summary = told()
    assert (summary["ranked"], summary["best"]) == (False, None)
    assert "the test set must not choose" in summary["note"]


def test_the_same_command_again_trains_nothing(run):
    run("seed=1,2")
    summary, before = told(), [snapshot(folder_of(place)) for place in (0, 1)]
    assert run("seed=1,2").code == 0
    assert [snapshot(folder_of(place)) for place in (0, 1)] == before
    assert told() == summary


def test_values_may_be_added_removed_and_reordered(run):
    run("seed=1,2,3")
    before = {job["values"]["seed"]: snapshot(folder_of(place)) for place, job in enumerate(told()["jobs"])}
    assert run("seed=4,3,1").code == 0
    assert [job["values"]["seed"] for job in told()["jobs"]] == [4, 3, 1]
    assert states() == ["finished"] * 3
    assert starts(folder_of(0)) == 1
    assert [snapshot(folder_of(place)) for place in (1, 2)] == [before[3], before[1]]


UNLIKE = {
    "validation.name": ["validation=holdout,kfold"],
    "validation.fraction": ["validation.fraction=0.1,0.2"],
    "train.batch_size": ["train.batch_size=8,16", "train.limit_batches=2"],
    "seed": ["sweep.combinations=['seed=1 optimizer.lr=0.1','seed=2 optimizer.lr=0.5']"],
}


@pytest.mark.parametrize(("key", "words"), UNLIKE.items(), ids=UNLIKE)
def test_runs_that_were_not_measured_on_the_same_examples_are_not_ranked(run, key, words):
    assert run(*words).code == 0
    summary = told()
    assert (summary["ranked"], summary["best"]) == (False, None)
    assert summary["note"] == f"not ranked: the runs were not measured on the same examples: {key} differs"


def test_the_same_sweep_on_other_data_is_another_experiment(run, stripes_folder, tmp_path):
    assert run("optimizer.lr=0.1").code == 0
    first, directory = told()["jobs"][0], folder_of(0)
    before = snapshot(directory)
    shutil.copytree(stripes_folder, tmp_path / "others")
    labels = tmp_path / "others" / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\0")
    assert run("optimizer.lr=0.1", f"dataset.dir={tmp_path / 'others'}").code == 0
    assert told()["jobs"][0]["directory"] != first["directory"]
    assert starts(folder_of(0)) == 1
    shutil.copytree(stripes_folder, tmp_path / "same")
    done = run("optimizer.lr=0.1", f"dataset.dir={tmp_path / 'same'}")
    assert "1 run: 1 finished" in done.out
    assert told()["jobs"][0]["directory"] == first["directory"]
    assert snapshot(directory) == before


def test_a_finished_sweep_whose_data_are_gone_is_shown_again(run, stripes_folder, tmp_path):
    shutil.copytree(stripes_folder, tmp_path / "gone")
    words = ["optimizer.lr=0.1,0.5", f"dataset.dir={tmp_path / 'gone'}"]
    run(*words)
    before = told()["jobs"]
    shutil.rmtree(tmp_path / "gone")
    done = run(*words)
    assert (done.code, told()["jobs"]) == (0, before)
    assert "2 runs: 2 finished" in done.out


@pytest.mark.parametrize("notes", [5, None, "x", [1, None], {}])
def test_damaged_notes_break_no_sweep(run, notes):
    run("optimizer.lr=0.1,0.5")
    path = folder_of(0) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"notes": notes}), encoding="utf-8")
    assert run("optimizer.lr=0.1,0.5").code == 0
    assert told()["notes"] == []


def test_a_sweep_of_an_earlier_version_is_continued_and_ranked(run):
    """Its folders' names say nothing of the data, and its runs recorded nothing of them."""
    words = ["optimizer.lr=0.1,0.5", "train.epochs=4", "sweep.metric=val_loss"]
    run(*words)
    for place in (0, 1):
        folder = folder_of(place)
        name = f"softmax-seed1-{config_hash(RunDirectory(folder).load_config(), schema.EARLIER)}"
        (folder / ".data.json").unlink()
        result = json.loads((folder / "result.json").read_text("utf-8"))
        (folder / "result.json").write_text(
            json.dumps({key: result[key] for key in result if key not in ("data", "notes")})
        )
        folder.rename(folder.with_name(name))
    done = run(*words)
    assert "2 runs: 2 finished" in done.out
    assert told()["best"] is not None


def test_a_seed_behind_plus_signs_is_a_repetition_too(run):
    run("++seed=1,2", "optimizer.lr=0.1,0.5", "train.epochs=4", "sweep.metric=val_loss")
    assert len(told()["groups"]) == 2
    assert [text.partition("=")[0] for text in told()["best"]["overrides"]] == ["optimizer.lr"]


def test_a_pipe_that_closes_early_loses_nothing(d2lrun, run, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return os.open(os.devnull, os.O_WRONLY)

    monkeypatch.setattr("sys.stdout", Closed())
    assert run("optimizer.lr=1e38,0.1").code == 3
    assert states() == ["diverged", "finished"]
    assert all((SWEEPS / "s" / name).exists() for name in ("sweep.csv", "sweep.json"))


def test_a_run_that_diverges_does_not_stop_the_others(run):
    done = run("optimizer.lr=0.1,1e38,0.5", "train.epochs=4", "sweep.metric=val_loss")
    assert (done.code, done.err) == (3, "")
    assert states() == ["finished", "diverged", "finished"]
    failed = told()["jobs"][1]
    assert failed["error"].startswith("diverged: ")
    assert failed["overrides"] == ["optimizer.lr=1e+38"]
    assert "diverged: " in (folder_of(1) / "run.log").read_text("utf-8")
    assert told()["best"]["overrides"] != ["optimizer.lr=1e+38"]


def test_a_run_that_diverges_again_in_the_same_way_is_told_so_again(run):
    assert run("optimizer.lr=0.1,1e38").code == 3
    before = told()["jobs"][1]
    assert run("optimizer.lr=0.1,1e38").code == 3
    assert timeless(told()["jobs"][1]) == timeless(before)


def test_a_run_that_fails_before_its_first_step_is_named_and_can_be_run_again(run, tmp_path):
    done = run(f"model.weights=null,{tmp_path}/nowhere.safetensors")
    assert done.code == 3
    assert states() == ["finished", "failed"]
    assert told()["jobs"][1]["error"] == f"{tmp_path}/nowhere.safetensors: no such file"
    before = snapshot(folder_of(0))
    assert run(f"model.weights=null,{tmp_path}/nowhere.safetensors").code == 3
    assert told()["jobs"][1]["error"] == f"{tmp_path}/nowhere.safetensors: no such file"
    (folder_of(0) / "model.safetensors").rename(tmp_path / "nowhere.safetensors")
    assert run(f"model.weights=null,{tmp_path}/nowhere.safetensors").code == 0
    assert states() == ["finished"] * 2
    assert snapshot(folder_of(0)).items() <= before.items()


@pytest.mark.parametrize("fault, status", [(fail, "failed"), (diverge, "diverged")])
def test_a_run_that_came_to_nothing_goes_on_by_the_same_command(run, at_step, fault, status):
    whole = (run("seed=1,2,3"), timeless(told()))[1]
    with at_step(STEPS + 2, fault):
        assert run("seed=1,2,3", "sweep.name=again").code == 3
    assert states(told("again")) == ["finished", status, "finished"]
    assert "made to" in told("again")["jobs"][1]["error"]
    assert run("seed=1,2,3", "sweep.name=again").code == 0
    for key in ("jobs", "groups", "best"):
        assert timeless(told("again"))[key] == whole[key]


def test_an_error_that_nobody_expected_is_named_with_its_type_and_its_traceback(run, at_step):
    with at_step(STEPS + 2, lambda: 1 / 0):
        done = run("seed=1,2,3")
    assert (done.code, done.err) == (3, "")
    assert states() == ["finished", "failed", "finished"]
    assert "division by zero" in told()["jobs"][1]["error"]
    assert "Traceback" in (folder_of(1) / "run.log").read_text("utf-8")


def test_on_error_stop_begins_no_other_and_continue_goes_on_with_them(run, at_step):
    with at_step(STEPS + 2, fail):
        assert run("seed=1,2,3", "sweep.on_error=stop").code == 3
    assert states() == ["finished", "failed", "pending"]
    with at_step(2, fail):
        assert run("seed=1,2,3").code == 3
    assert states() == ["finished", "failed", "finished"]
    assert run("seed=1,2,3", "sweep.on_error=stop").code == 0
    assert states() == ["finished"] * 3


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("validation", ["holdout", "kfold"])
def test_a_signal_saves_the_run_and_the_table_and_the_same_command_goes_on(run, at_step, name, code, validation):
    words = ("seed=1,2,3", f"validation={validation}", *(["validation.k=2"] if validation == "kfold" else []))
    steps = STEPS if validation == "holdout" else 2 * 3
    run(*words, "sweep.name=whole")
    with at_step(steps + 2, signalled(name)):
        stopped = run(*words)
    assert stopped.code == code
    assert stopped.err.startswith("\nstopped, saved; continue with: d2lrun -m ")
    assert states(told("s")) == ["finished", "stopped", "pending"]
    first = SWEEPS / "s" / told("s")["jobs"][0]["directory"]
    before = snapshot(first)
    assert run(*words).code == 0
    assert snapshot(first) == before
    for key in ("jobs", "groups", "best"):
        assert timeless(told("s"))[key] == timeless(told("whole"))[key]
    if validation == "holdout":
        second = SWEEPS / "s" / told("s")["jobs"][1]["directory"]
        assert "resuming at epoch 1, step 2" in (second / "run.log").read_text("utf-8")


ODD_RESULTS = {
    "empty": b"",
    "half": b'{"status": "finis',
    "binary": b"\xff\xfe\0",
    "a list": b"[]",
    "nothing": b"{}",
    "no metrics": b'{"status": "finished"}',
    "odd metrics": b'{"status": "finished", "metrics": [1], "epochs": 1, "steps": 1, "seconds": 1, "dead": null}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("content", ODD_RESULTS.values(), ids=ODD_RESULTS)
def test_a_damaged_result_is_worked_out_anew_and_that_of_the_others_is_not(run, content):
    run("seed=1,2")
    whole, other = timeless(told()), snapshot(folder_of(0))
    (folder_of(1) / "result.json").write_bytes(content)
    assert run("seed=1,2").code == 0
    assert timeless(told()) == whole
    assert snapshot(folder_of(0)) == other


DAMAGE = {
    "metrics that are words": {"metrics": {"val_loss": "x"}},
    "metrics of K folds": {"metrics": {"val_loss": {"mean": 0.1, "std": None}}},
    "a metric that is true": {"metrics": {"val_loss": True}},
    "no metrics": {"metrics": {}},
    "a time that is a word": {"seconds": "x"},
    "folds that are a number": {"folds": 5},
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_result_that_is_not_sound_is_written_again_and_no_other(run, change):
    run("seed=1,2,3")
    summary, others = timeless(told()), [snapshot(folder_of(place)) for place in (0, 2)]
    path = folder_of(1) / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | change), encoding="utf-8")
    assert run("seed=1,2,3").code == 0
    assert timeless(told()) == summary
    assert [snapshot(folder_of(place)) for place in (0, 2)] == others


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, {"mean": True, "std": None}])
def test_a_damaged_result_of_folds_is_their_mean_again(run, value):
    words = ("seed=1,2", "validation=kfold", "validation.k=2")
    run(*words)
    summary, path = timeless(told()), folder_of(1) / "result.json"
    path.write_text(
        json.dumps(json.loads(path.read_text("utf-8")) | {"metrics": {"val_loss": value}}), encoding="utf-8"
    )
    assert run(*words).code == 0
    assert timeless(told()) == summary


@pytest.mark.parametrize("content", [b"", b"\xff", b"model: {name: mlp}", b"a: ["])
def test_a_damaged_config_of_an_unfinished_run_is_written_anew(run, at_step, content):
    with at_step(STEPS + 2, fail):
        run("seed=1,2")
    (folder_of(1) / "config.yaml").write_bytes(content)
    assert run("seed=1,2").code == 0
    assert states() == ["finished"] * 2
    assert "resuming at epoch 1" not in (folder_of(0) / "run.log").read_text("utf-8")


@pytest.mark.parametrize("which", ["newest", "all"])
def test_a_damaged_checkpoint_is_passed_over_or_named(run, at_step, which):
    with at_step(STEPS + 4, fail):
        run("seed=1,2,3", "train.checkpoint_every=1")
    commits = sorted((folder_of(1) / "checkpoints").glob("*.pt"))
    assert len(commits) == 2
    for path in commits[-1:] if which == "newest" else commits:
        path.write_bytes(b"garbage")
    assert run("seed=1,2,3", "train.checkpoint_every=1").code == (0 if which == "newest" else 3)
    assert states() == ["finished", "finished" if which == "newest" else "failed", "finished"]
    if which == "all":
        assert told()["jobs"][1]["error"].startswith("no sound checkpoint is left in ")


def test_files_of_the_user_in_a_runs_folder_are_refused(run):
    run("seed=1,2")
    folder = folder_of(1)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "thesis.tex").write_text("years of work")
    refused = run("seed=1,2")
    assert refused.code == 2
    assert refused.err.startswith(f"error: {folder} is not empty and not a run's directory: it holds thesis.tex\n")
    assert [path.name for path in folder.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["sweep.json", "sweep.csv", "report.html", "study.db", ".stop", "mine/config.yaml"])
@pytest.mark.parametrize("engine", ["grid", "optuna"])
def test_a_folder_of_the_users_is_no_sweeps(run, tmp_path, name, engine):
    path = tmp_path / SWEEPS / "s" / name
    path.parent.mkdir(parents=True)
    path.write_text('{"mine": 1}')
    refused = run("optimizer.lr=0.1,0.2", f"sweep={engine}", "validation=holdout")
    assert refused.code == 2
    assert refused.err.startswith(f"error: {SWEEPS}/s is not empty and not a sweep's: it holds {name.split('/')[0]}\n")
    assert [each for each in SWEEPS.rglob("*") if each.is_file()] == [path.relative_to(tmp_path)]
    assert path.read_text() == '{"mine": 1}'


def test_a_damaged_sweep_json_is_written_anew(run):
    run("seed=1,2")
    whole = timeless(told())
    (SWEEPS / "s" / "sweep.json").write_bytes(b"{")
    assert run("seed=1,2").code == 0
    assert timeless(told()) == whole


@pytest.mark.parametrize("blocked", ["outputs", "outputs/sweeps", "outputs/sweeps/s"])
def test_a_sweep_that_cannot_be_written_is_refused(run, tmp_path, blocked):
    path = tmp_path / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file")
    refused = run("seed=1,2")
    assert refused.code == 2
    assert refused.err.startswith("error: cannot write to outputs/sweeps/s: ")
    assert "hint: choose another place with run.root=FOLDER" in refused.err


def test_a_run_whose_folder_is_a_file_is_refused(run, tmp_path):
    run("seed=1,2")
    folder = folder_of(1)
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
    folder.write_text("a file")
    refused = run("seed=1,2")
    assert refused.code == 2
    assert "cannot write to outputs/sweeps/s" in refused.err


def test_what_a_kill_left_in_the_sweeps_folder_goes_when_it_is_old(run):
    run("seed=1,2")
    old, new = (SWEEPS / "s" / f".sweep.json.{8 * digit}.tmp" for digit in "01")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    run("seed=1,2")
    assert (old.exists(), new.exists()) == (False, True)


def test_what_another_process_tried_meanwhile_in_vain_is_not_tried_again(run, monkeypatch):
    """The other one has the second run when this one comes to it, and fails in it."""
    from d2lrun.sweeps import job

    train, tried = job.train_quietly, []

    def elsewhere(config, directory):
        tried.append(config.seed)
        if config.seed == 1:
            (second,) = (path.parent for path in SWEEPS.glob("s/*seed2*/config.yaml"))
            job.note_failure(RunDirectory(second), "over there")
        train(config, directory)

    monkeypatch.setattr(job, "train_quietly", elsewhere)
    assert run("seed=1,2,3").code == 3
    assert tried == [1, 3]
    assert told()["jobs"][1]["error"] == "over there"
    tried.clear()
    assert run("seed=1,2,3").code == 0
    assert tried == [2]


def test_a_job_whose_folder_was_deleted_is_failed_and_the_others_go_on(d2lrun, at_step, stripes_folder):
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "device=cpu", "sweep.name=s"]
    words = ["-m", "model=softmax", *data, "train.epochs=1", "train.batch_size=64", "seed=1,2,3"]
    with at_step(8, lambda: shutil.rmtree(next((SWEEPS / "s").glob("softmax-seed2-*")))):  # a job has 6 steps
        assert d2lrun(*words).code == 3
    jobs = told("s")["jobs"]
    assert [job["status"] for job in jobs] == ["finished", "failed", "finished"]
    assert jobs[1]["error"] == "its directory was deleted"
    assert not (SWEEPS / "s" / jobs[1]["directory"]).exists()
    assert d2lrun(*words).code == 0
    assert [job["status"] for job in told("s")["jobs"]] == ["finished"] * 3


def test_a_picture_of_a_sweep_that_fails_is_named(d2lrun, monkeypatch, stripes_folder):
    def broken(*arguments):
        raise RuntimeError

    monkeypatch.setattr("d2lrun.sweeps.monitor.draw_sweep", broken)
    data = ["dataset.verify=false", f"dataset.dir={stripes_folder}", "device=cpu"]
    done = d2lrun("-m", "model=softmax", *data, "train.epochs=1", "train.batch_size=64", "seed=1,2")
    assert (done.code, "sweep.png is missing: RuntimeError\n" in done.out) == (0, True)
