"""Files from strangers are data: nothing that they name is imported or called, and nothing leaves the folder."""

from __future__ import annotations

import io
import itertools
import os
import pickle

import pytest
import torch
import yaml

from d2lrun.disk.files import sha256, write_json

SENTINEL = "touched"


class Touch:
    """Unpickled, it makes a file."""

    def __reduce__(self):
        return os.mkdir, (SENTINEL,)


def saved(value) -> bytes:
    data = io.BytesIO()
    torch.save(value, data)
    return data.getvalue()


def test_the_pickle_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Touch()))
    assert (tmp_path / SENTINEL).exists()


HOSTILE = {"inside": saved({"model": Touch()}), "bare": pickle.dumps(Touch()), "alone": saved(Touch())}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("verb", ["resume", "evaluate", "predict"])
def test_a_pickle_in_a_checkpoint_is_not_called(stopped, forks, golden, verb, content):
    commit = stopped.commits()[0]
    commit.with_suffix(".pt").write_bytes(content)
    write_json(commit, {**stopped.read(commit), "size": len(content), "sha256": sha256(content)})
    outcome = forks(stopped, [verb, "run"])
    assert not (stopped.path / SENTINEL).exists()
    assert outcome.code == 0
    assert commit.with_name("step-00000012.pt.bad").read_bytes() == content
    if verb == "resume":
        assert "step-00000012.pt is not a checkpoint of tensors and plain data" in outcome.out
        stopped.assert_same_bits(golden)


STATES = {
    "not a dict": [1, 2],
    "empty": {},
    "other shapes": {"model": {"1.weight": torch.zeros(2, 2)}},
    "no optimizer": "model only",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_a_checkpoint_of_something_else_is_passed_over(stopped, resume, golden, state):
    commit = stopped.commits()[0]
    if state == "model only":
        state = {"model": torch.load(commit.with_suffix(".pt"), weights_only=True)["model"]}
    content = saved(state)
    commit.with_suffix(".pt").write_bytes(content)
    write_json(commit, {**stopped.read(commit), "size": len(content), "sha256": sha256(content)})
    assert "checkpoint step-00000012 is damaged: " in resume().out
    stopped.assert_same_bits(golden)


CONFIGS = {
    "_target_": ({"_target_": "os.mkdir", "path": SENTINEL}, "_target_: no such key"),
    "_target_ in a group": ({"model": {"_target_": "os.mkdir", "path": SENTINEL}}, "model._target_: no such key"),
    "_target_ as a name": ({"model": {"name": "os.mkdir"}}, "model=os.mkdir: no such option"),
    "a path as a name": ({"dataset": {"name": "../../evil"}}, "dataset=../../evil: no such option"),
    "another folder": ({"run": {"name": "../x"}}, "run.name='../x': names a folder"),
    "an absolute folder": ({"run": {"name": "/etc/x"}}, "run.name='/etc/x': names a folder"),
    "a name that turns its line": ({"run": {"name": "a\u202eb"}}, r"run.name='a\u202eb': names a folder"),
    "an interpolation as a number": ({"seed": "${oc.env:UID}"}, "seed=${oc.env:UID}: wanted a whole number"),
    "a tag": ("!!python/object/apply:os.mkdir [touched]", "could not determine a constructor for the tag"),
}


def test_a_config_that_unfolds_without_end_is_refused(stopped, door):
    names = "abcdefghi"
    rows = [f"{name}: &{name} [{', '.join(['*' + before] * 10)}]" for before, name in itertools.pairwise(names)]
    (stopped.run / "config.yaml").write_text("\n".join([f"a: &a {[0] * 10}", *rows, "seed: *i"]))
    refused = door("resume", "run")
    assert refused.code == 2
    assert "an alias" in refused.err


def merge(config: dict, change: dict) -> dict:
    return {
        **config,
        **{
            key: {**config[key], **value} if key in config and isinstance(value, dict) else value
            for key, value in change.items()
        },
    }


@pytest.mark.parametrize(("change", "words"), CONFIGS.values(), ids=CONFIGS)
def test_a_hostile_config_is_refused(stopped, door, forks, change, words):
    path = stopped.run / "config.yaml"
    if isinstance(change, str):
        path.write_text(f"seed: {change}\n")
    else:
        path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text("utf-8")), change)))
    for refused in (door("resume", "run"), forks(stopped, ["evaluate", "run"]), forks(stopped, ["predict", "run"])):
        assert refused.code == 2
        assert words in refused.err
    assert not (stopped.path / SENTINEL).exists()


def test_an_interpolation_in_a_saved_config_stays_text(stopped, forks, monkeypatch):
    path = stopped.run / "config.yaml"
    config = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump(merge(config, {"dataset": {"dir": "${oc.env:PWD}"}})))
    for name in (".data.json", "result.json"):  # which know where the data are
        (stopped.run / name).unlink(missing_ok=True)
    refused = forks(stopped, ["resume", "run"])
    assert refused.code == 2
    assert "${oc.env:PWD}: no train-images-idx3-ubyte" in refused.err


OWN = {  # a file in one's own config folder, and the override that takes it
    "a model": (
        "model/evil.yaml",
        "# @package _global_\nmodel: {name: mlp, _target_: os.mkdir, path: touched}\n",
        "model=evil",
    ),
    "a callback": ("hydra/callbacks/evil.yaml", "touch: {_target_: os.mkdir, path: touched}\n", "hydra/callbacks=evil"),
    "a logger": ("model/evil.yaml", "# @package _global_\nhydra: {job_logging: {version: 1}}\n", "model=evil"),
}


@pytest.mark.parametrize("flags", [(), ("-m",), ("--cfg", "job"), ("--cfg", "hydra"), ("--info", "all")], ids=" ".join)
@pytest.mark.parametrize("kind", OWN)
def test_code_named_in_ones_own_config_folder_is_not_called(room, door, flags, kind):
    name, text, override = OWN[kind]
    own = room.path / "own" / name
    own.parent.mkdir(parents=True)
    own.write_text(text)
    refused = door("--config-dir", "own", *flags, override)
    assert not (room.path / SENTINEL).exists()
    assert refused.code == 2
    assert f"{name}: it changes Hydra's own config or names code" in refused.err
