"""Plugins: what the user names is run, its errors name their line, and a run's record never causes an import."""

from __future__ import annotations

import pkgutil
import re
import shlex
import sys

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config import compose, plugins, registry, schema
from d2lrun.config.tables import DATASETS, MODELS
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused

NETS = """
from typing import Annotated
import numpy as np
from torch import nn
import d2lrun


@d2lrun.model("own-net")
class Net(nn.Module):
    '''A network of one layer.'''

    def __init__(self, inputs, classes, scale: Annotated[float, d2lrun.Between(0, 10), "of the outputs"] = 1.0):
        super().__init__()
        self.scale, self.layer = scale, nn.Linear(int(np.prod(inputs)), classes)

    def forward(self, x):
        return self.scale * self.layer(x.flatten(1))


@d2lrun.dataset("own-data", task="classification")
def made(n: Annotated[int, d2lrun.Between(10, 1000)] = 60):
    kinds = np.arange(n) % 2
    images = np.zeros((n, 4, 4), dtype="uint8") + (255 * kinds[:, None, None]).astype("uint8")
    return {"train": (images, kinds), "test": (images[:20], kinds[:20])}
"""
TRAIN = ("model=own-net", "dataset=own-data", "train.epochs=1", "device=cpu", "run.pictures=false")


@pytest.fixture
def nets(tmp_path):
    """The file of a plugin with a network and a dataset."""
    (tmp_path / "nets.py").write_text(NETS, encoding="utf-8")
    return tmp_path / "nets.py"


def another_process():
    """Forget the plugins, as a new process does."""
    plugins.LOADED.clear()
    for group, table in plugins.BY_GROUP.items():
        for name in [name for name, line in table.items() if line.added]:
            registry.remove(group, name)


@pytest.mark.parametrize(
    "words, files, others",
    [
        (["--plugin", "a.py", "model=x"], ["a.py"], ["model=x"]),
        (["resume", "--plugin=a.py", "RUN", "--plugin", "b.py"], ["a.py", "b.py"], ["resume", "RUN"]),
        (["-m", "seed=1,2"], [], ["-m", "seed=1,2"]),
        (["--plugin", "--plugin"], ["--plugin"], []),
    ],
)
def test_plugins_are_named_anywhere(words, files, others):
    assert plugins.taken(words) == (files, others)


def test_a_file_is_wanted():
    with pytest.raises(Refused, match="--plugin: no file"):
        plugins.taken(["model=x", "--plugin"])


@pytest.mark.parametrize(
    "text, message",
    [
        ("import d2lrun\n\nx = undefined", "bad.py:3: NameError: name 'undefined' is not defined"),
        ("def f(:\n    pass", "bad.py:1: not valid Python"),
        ("x = 1\0", "bad.py.*: not valid Python: .*null bytes"),
        ("# -*- coding: nope -*-", "bad.py: not valid Python: unknown encoding"),
        ("import d2lrun\nimport no_such_package", "bad.py:2: ModuleNotFoundError: No module named 'no_such_package'"),
        ("raise SystemExit(3)", "bad.py:1: SystemExit: 3"),
        ("x = 1", "it registers no network and no dataset"),
        ("import d2lrun\nd2lrun.dataset('a', task='b')", "bad.py:2: task='b': no such task"),
        ("import d2lrun\n@d2lrun.model('lenet')\ndef f(): pass", "bad.py:2: model=lenet is d2lrun's own"),
        ("import d2lrun\n@d2lrun.model('a')\ndef f(x: int): pass", "bad.py:2: a: x has no default"),
        ("import d2lrun\n@d2lrun.model('a')\ndef f(x: Foo = 1): pass", "bad.py:3: NameError"),
        ("def f():\n    return 1 / 0\n\n\nf()", "bad.py:2: ZeroDivisionError"),
    ],
)
def test_an_error_names_the_line(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(text, encoding="utf-8")
    before = {*sys.modules}
    with pytest.raises(Refused, match=message.replace("(", r"\(")) as refusal:
        plugins.load(["bad.py"])
    assert refusal.value.hint and not plugins.LOADED
    assert [name for name in {*sys.modules} - before if name.startswith("d2lrun_plugin_bad")] == (
        ["d2lrun_plugin_bad_" + plugins.hashlib.sha256(text.encode()).hexdigest()[:8]] if text == "x = 1" else []
    )


@pytest.mark.parametrize("name", ["no-such.py", "text.txt", "folder.py"])
def test_what_is_no_python_file_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("x = 1")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(Refused, match=f"--plugin {name}: no"):
        plugins.load([name])


def test_a_file_is_run_once_and_leaves_no_bytecode(nets):
    nets.write_text(NETS + "\nCALLS.append(1)".replace("CALLS", "__import__('sys').own_calls"), encoding="utf-8")
    sys.own_calls = []  # type: ignore[attr-defined]
    try:
        for _ in range(3):
            plugins.load([str(nets)])
        assert sys.own_calls == [1]  # type: ignore[attr-defined]
    finally:
        del sys.own_calls  # type: ignore[attr-defined]
    assert [path.name for path in nets.parent.iterdir()] == ["nets.py"]


def test_only_its_own_file_is_read_as_the_code_of_a_plugin(nets):
    plugins.load([str(nets)])
    module = MODELS["own-net"].added.make.__module__
    assert pkgutil.get_data(module, nets.name) == nets.read_bytes()
    with pytest.raises(OSError, match=r"words\.txt"):
        pkgutil.get_data(module, "words.txt")


def test_one_file_under_two_names_is_run_once(nets):
    nets.with_name("link.py").symlink_to(nets)
    plugins.load([str(nets), str(nets.with_name("link.py")), str(nets.parent / ".." / nets.parent.name / nets.name)])
    assert [*plugins.LOADED] == [nets] and MODELS["own-net"].added.source.path == str(nets)


def test_what_a_plugin_sets_changes_no_run(d2lrun, nets, monkeypatch):
    assert d2lrun("--plugin", nets, *TRAIN, "run.dir=plain").code == 0
    another_process()
    changed = "import os, sys, torch\nos.chdir('/')\nsys.argv[:] = ['x', 'seed=3']\ntorch.manual_seed(3)\n"
    nets.write_text(f"{NETS}\n{changed}torch.set_default_dtype(torch.float64)\ntorch.set_grad_enabled(False)")
    try:
        done = d2lrun("--plugin", nets, *TRAIN, "run.dir=changed")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
    assert done.code == 0, done.err
    one, other = (RunDirectory(nets.parent / name).weights_file.read_bytes() for name in ("plain", "changed"))
    assert one == other


def test_two_files_cannot_define_one_name(nets, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(f"{NETS}\n# another file", encoding="utf-8")
    plugins.load([str(nets)])
    with pytest.raises(Refused, match=r"other.py:\d+: model=own-net is defined in .*nets.py, too"):
        plugins.load([str(other)])


def test_a_run_of_a_plugin_is_trained_asked_and_folded(d2lrun, nets):
    plugin = ("--plugin", nets)
    done = d2lrun(*plugin, *TRAIN, "train.epochs=30", "run.dir=run", "model.scale=2", "optimizer.lr=0.5")
    assert done.code == 0 and "next        d2lrun --plugin nets.py predict run" in done.out
    source = yaml.safe_load(RunDirectory(nets.parent / "run").config_text())["model"]["source"]
    assert source["path"] == str(nets) and source["sha256"] == plugins.LOADED[nets]
    another_process()
    for words in (("evaluate", "run"), ("resume", "run"), ("predict", "run"), ("resume", "run", "train.epochs=31")):
        refused = d2lrun(*words)
        assert refused.code == 2 and "its code is not loaded; it is in nets.py" in refused.err
        hint = shlex.split(refused.err.partition("add ")[2].partition(";")[0])
        done = d2lrun(*hint, *words)
        assert done.code == 0, done.err
        another_process()
    assert "1.0000" in d2lrun(*plugin, "evaluate", "run").out
    assert d2lrun("compare", "run").code == 0
    folds = d2lrun(*plugin, *TRAIN, "validation=kfold", "validation.k=2", "run.dir=folds")
    sweep = d2lrun(*plugin, "-m", *TRAIN, "model.scale=1,2", "dataset.n=40,60")
    assert folds.code == sweep.code == 0 and "4/4 finished" in sweep.out
    assert d2lrun(*plugin, "summary", "model=own-net", "dataset=own-data").code == 0
    assert "2 classes" in d2lrun(*plugin, "data", "dataset=own-data").out


def test_changed_code_is_not_trained_further_and_is_said_when_asked(d2lrun, nets):
    plugin = ("--plugin", nets)
    assert d2lrun(*plugin, *TRAIN, "run.dir=run").code == 0
    nets.write_text(NETS + "\n# changed", encoding="utf-8")
    another_process()
    for words in (("resume", "run"), ("resume", "run", "train.epochs=2"), (*TRAIN, "run.dir=run")):
        refused = d2lrun(*plugin, *words)
        assert refused.code == 2 and "sha256" in refused.err
    asked = d2lrun(*plugin, "evaluate", "run")
    assert (
        asked.code == 0
        and "model=own-net: its file, or one that it imports, has changed since the run began" in asked.err
    )
    nets.write_text(NETS, encoding="utf-8")
    another_process()
    nets = nets.rename(nets.with_name("moved.py"))
    resumed = d2lrun("--plugin", nets, "resume", "run", "train.epochs=2")
    assert resumed.code == 0, resumed.err


def test_a_file_that_a_plugin_imports_belongs_to_its_code(d2lrun, nets, monkeypatch):
    monkeypatch.syspath_prepend(nets.parent)
    helper = nets.with_name("own_helper.py")
    found = []
    for factor in (1, 2, 1):
        helper.write_text(f"FACTOR = {factor}", encoding="utf-8")
        nets.write_text(f"from own_helper import FACTOR\n{NETS}", encoding="utf-8")
        monkeypatch.delitem(sys.modules, "own_helper", raising=False)
        plugins.load([str(nets)])
        found.append(MODELS["own-net"].added.source.sha256)
        another_process()
    sys.modules.pop("own_helper", None)
    assert found[0] == found[2] != found[1]


def test_the_record_of_a_run_never_causes_an_import(d2lrun, nets):
    """Its directory may come from anybody."""
    assert d2lrun("--plugin", nets, *TRAIN, "run.dir=run").code == 0
    another_process()
    nets.write_text(f"open({str(nets.parent / 'imported')!r}, 'w')\n{NETS}", encoding="utf-8")
    for words in (["evaluate", "run"], ["resume", "run"], ["predict", "run"], ["compare", "run"], ["run.dir=run"]):
        d2lrun(*words)
    config = nets.parent / "run" / "config.yaml"
    config.write_text(config.read_text().replace("own-net", "mlp"))
    d2lrun("evaluate", "run")
    assert not (nets.parent / "imported").exists()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["mlp", "classification"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.integers(), inner, max_size=3),
)
SOURCE = st.fixed_dictionaries({"path": ANYTHING, "sha256": ANYTHING | st.just("0" * 64), "task": ANYTHING})


@given(st.sampled_from(["model", "dataset"]), st.just("own") | ANYTHING, SOURCE | ANYTHING, st.text(), ANYTHING)
def test_a_record_with_any_source_is_read_or_refused(group, name, source, key, value):
    """The config of a run may come from anybody: its names are plain, and its values have the types of the schema."""
    config = schema.to_dict(compose.compose(["model=mlp"]))
    config[group] |= {"name": name, "source": source, key: value}
    try:
        read = getattr(schema.parse(config), group)
    except Refused:
        return
    assert re.fullmatch(r"[\w.-]+", read.name) and re.fullmatch("[0-9a-f]{64}", read.source.sha256)
    assert read.source.path is None or len(read.source.path.splitlines()) == 1
    with pytest.raises(Refused, match=r"its code (is not loaded|was given)"):
        plugins.refuse_missing(group, read)


@pytest.mark.parametrize("text", ["", "raise ValueError('no')", "from no_such import x"])
def test_an_installed_package_adds_networks(text, tmp_path, monkeypatch):
    package = tmp_path / "own_package.py"
    package.write_text(NETS + text, encoding="utf-8")
    information = tmp_path / "own_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: own-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[d2lrun.plugins]\nown = own_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_package", raising=False)
    if text:
        with pytest.raises(Refused, match=r"the plugin own of the package own-package: .*own_package.py:\d+: "):
            plugins.load_installed.__wrapped__()
    else:
        plugins.load_installed.__wrapped__()
        source = MODELS["own-net"].added.source
        assert source.path == str(package) and DATASETS["own-data"].added.source.sha256 == source.sha256
    sys.modules.pop("own_package", None)


def test_the_help_shows_the_keys_of_a_plugin(d2lrun, nets):
    text = " ".join(d2lrun("--plugin", nets, "--help").out.replace("# ", "").split())
    assert "own-net A network of one layer." in text
    assert "scale=1.0 of the outputs, a number at least 0 and at most 10" in text


def test_completion_runs_no_plugin(nets, monkeypatch, d2lrun):
    monkeypatch.setenv("COMP_LINE", f"d2lrun --plugin {nets} model=")
    monkeypatch.setenv("COMP_POINT", "")
    assert "model=lenet" in d2lrun("-sc", "query=fish").out and not plugins.LOADED
