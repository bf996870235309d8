"""Wrong input is refused at the door: all complaints at once, exit code 2, and torch is not even imported."""

from __future__ import annotations

import re

import pytest

REFUSED = {
    "optimizer.lr=-1": "optimizer.lr=-1: wanted a number above 0",
    "optimizer.lr=0": "optimizer.lr=0: wanted a number above 0",
    "optimizer.lr=nan": "optimizer.lr=nan: wanted a number above 0",
    "optimizer.lr=inf": "optimizer.lr=inf: wanted a number above 0",
    "optimizer.lr=fast": "optimizer.lr=fast: wanted a number above 0",
    "model.dropout=[1.5]": "model.dropout=[1.5]: wanted a number at least 0 and below 1",
    "model.dropout=[.1,.2,.3]": "model.dropout=[0.1, 0.2, 0.3]: wanted one value, or one for each of model.hidden",
    "train.batch_size=0": "train.batch_size=0: wanted a whole number at least 1",
    "train.epochs=1.5": "train.epochs=1.5: wanted a whole number at least 1",
    "train.epochs=true": "train.epochs=true: wanted a whole number at least 1",
    "train.patience=2": "train.patience=2: the test set never stops a run",
    "seed=-1": "seed=-1: wanted a whole number at least 0",
    "train.epoch=3": "train.epoch: no such key; did you mean train.epochs?",
    "+train.epoch=3": "train.epoch: no such key; did you mean train.epochs?",
    "++momentum=0.9": "momentum: no such key; did you mean optimizer.momentum?",
    "lr=0.1": "lr: no such key; did you mean optimizer.lr?",
    "model=lenett": "model=lenett: no such option; did you mean lenet?",
    "device=gpu": "device=gpu: no such option; did you mean auto?",
    "device=0": "device=0: no such option; did you mean auto?",
    "device=0,1": "device=0,1: one run uses one device; did you mean auto?",
    "device=[0,1]": "device=[0, 1]: one run uses one device; did you mean auto?",
    "device=cuda:": "device=cuda:: no such option; did you mean auto?",
    "run.name=../x": "run.name='../x': names a folder",
    "run.name=/etc/x": "run.name='/etc/x': names a folder",
    "run.name=[/red]": "run.name='[/red]': names a folder",
    "hydra.run.dir=X": "hydra.run.dir=X: not used in a single run; run.dir=FOLDER names its folder",
    "+hydra.nope=1": "+hydra.nope=1: not used in a single run",
    "hydra/launcher=joblib": "hydra/launcher=joblib: not used in a single run; add -m",
    "hydra=null": "hydra=null: not used in a single run",
    "train.epochs＝3": "(＝ is full-width, wanted =)",
    "model.hidden=64，128": "(， is full-width, wanted ,)",
    "model=lenet，seed=2": "(write a space between overrides)",
    "model=lenet,seed=2": "(write a space between overrides)",
    "optimizer.lr=0.1；train.epochs=3": "(write a space between overrides)",
    "optimizer.lr=0.1,0.2": "optimizer.lr=0.1,0.2: several values; add -m",
    "optimizer.lr=[": "optimizer.lr=[: wanted a number above 0",
    "trian": "trian: no such verb; did you mean train?",
    "--configdir=x": "no such option",
}


@pytest.mark.parametrize(("word", "complaint"), REFUSED.items(), ids=REFUSED)
def test_a_wrong_word_is_refused_without_torch(room, door, word, complaint):
    refused = door(word)
    assert (refused.code, refused.out) == (2, "")
    error, hint = refused.err.splitlines()
    assert error.startswith("error: ") and complaint in error
    assert hint.startswith("hint: ")
    assert not (room.path / "outputs").exists()


def test_all_complaints_come_at_once(door):
    words = ["optimizer.lr=-1", "train.epochs=1.5", "model=lenett", "+train.epoch=3", "device=gpu", "a b=1"]
    refused = door(*words)
    assert refused.code == 2
    head, *rows, _ = refused.err.splitlines()
    assert head == f"error: {len(words)} problems in the configuration"
    assert sorted(row.split(":")[0].strip() for row in rows) == sorted(
        ["optimizer.lr=-1", "train.epochs=1.5", "model=lenett", "train.epoch", "device=gpu", "a b=1"]
    )


YAML = {
    "broken": ("name: mlp\nhidden: [256\n", 3),
    "a duplicate key": ("name: mlp\nhidden: [256]\nhidden: [128]\n", 3),
    "a tab": ("name: mlp\n\thidden: [256]\n", 2),
}


@pytest.mark.parametrize(("text", "line"), YAML.values(), ids=YAML)
def test_broken_yaml_of_ones_own_is_located(room, door, text, line):
    own = room.path / "own" / "model" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(text)
    refused = door("--config-dir", "own", "model=mine")
    assert refused.code == 2
    assert f"own/model/mine.yaml:{line}: not valid YAML" in refused.err


@pytest.mark.parametrize(
    "words",
    [
        ["summary"],
        ["cost"],
        ["data"],
        ["train"],
        ["--cfg", "job"],
        ["--cfg", "job", "--resolve"],
        ["--info", "all"],
        ["-m", "seed=1,2"],
        ["-m", "sweep=optuna", "validation=holdout", "optimizer.lr=interval(0.1,1)"],
    ],
    ids=" ".join,
)
def test_a_config_dir_of_which_nothing_is_used_is_refused_by_every_command(room, door, words):
    own = room.path / "own" / "model" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\ndefaults: [mlp]\n")
    refused = door(*words, "--config-dir", "own")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: --config-dir own: none of its options is used; it offers model=mine\nhint: ")
    assert not (room.path / "outputs").exists()


def test_a_folder_with_a_runs_config_is_no_config_dir(room, door):
    (room.path / "old").mkdir()
    (room.path / "old" / "config.yaml").write_text("seed: 1\n")
    refused = door("--config-dir", "old")
    assert (refused.code, refused.err.splitlines()[0]) == (2, "error: --config-dir old: it offers no option")


def test_help_lists_a_config_dir_and_uses_nothing(room, door):
    own = room.path / "own" / "model" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("# My own\n# @package _global_\ndefaults: [mlp]\n")
    told = door("--help", "--config-dir", "own")
    assert (told.code, told.err) == (0, "")
    assert re.search("mine +My own", told.out)


def test_a_whole_process_refuses_without_torch(fresh, end):
    refused = end(fresh("train.epoch=3", python=("-X", "importtime", "-m", "d2lrun")))
    assert refused.code == 2
    assert "error: train.epoch: no such key" in refused.err
    imported = {line.rpartition("|")[2].strip() for line in refused.err.splitlines() if line.startswith("import time:")}
    assert "d2lrun.config.schema" in imported
    assert not imported & {"torch", "torchvision", "matplotlib", "PIL"}


def test_a_run_that_is_not_there_is_refused_without_torch(door):
    for verb in ("resume", "evaluate", "predict"):
        refused = door(verb, "nowhere")
        assert (refused.code, refused.err.splitlines()[0]) == (2, "error: nowhere: no such directory")
