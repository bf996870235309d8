"""YAML files of the user's own: each fault is named, with the file."""

from __future__ import annotations

import codecs

import pytest

from d2lrun.config import user_yaml
from d2lrun.config.compose import compose, sweep_settings
from d2lrun.config.keys import conf_dir
from d2lrun.errors import Refused

TEXT = "# @package _global_\n# 我的网络，两层\ndefaults: [mlp]\nmodel: {hidden: [8, 8]}\n"
ALIASES = "\n".join(["a0: &a0 [1, 1]", *(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]" for at in range(1, 9))])
BYTES = {
    "GBK": (TEXT.encode("gbk"), r"mine\.yaml:2: not UTF-8, it seems to be GBK"),
    "UTF-16": (TEXT.encode("utf-16"), r"mine\.yaml:1: not UTF-8, it seems to be UTF-16"),
    "no encoding": (b"# @package _global_\n\n\xff\xf5\n", r"mine\.yaml:3: not UTF-8$"),
    "an alias bomb": (f"# @package _global_\n{ALIASES}\n".encode(), r"mine\.yaml: more than 100,000 values"),
    "no package": (b"# Mine\nmodel: {name: mlp}\ntrain: {epochs: 3}\n", "mine.*its first line is missing: # @package"),
    "no line in the table": (b"# @package _global_\nmodel: {name: mine}\n", "model=mine: .*the table MODELS of d2lrun"),
}


@pytest.fixture
def mine(tmp_path):
    """The path of a network's YAML in a folder of the user's own."""
    (tmp_path / "model").mkdir()
    return tmp_path / "model" / "mine.yaml"


@pytest.mark.parametrize("fault", BYTES)
def test_a_fault_is_named_with_its_file(mine, fault):
    data, message = BYTES[fault]
    mine.write_bytes(data)
    with pytest.raises(Refused, match=message):
        compose(["model=mine"], str(mine.parents[1]))


@pytest.mark.parametrize("suffix", [".yml", ".YAML", ".Yml"])
def test_a_name_that_hydra_does_not_read_is_refused(mine, suffix):
    mine.with_suffix(suffix).write_text(TEXT, encoding="utf-8")
    with pytest.raises(Refused, match=f"mine\\{suffix}: wanted a name that ends in .yaml") as caught:
        compose(["model=mine"], str(mine.parents[1]))
    assert caught.value.hint == "rename it to mine.yaml"


def test_a_byte_order_mark_is_ignored(mine):
    mine.write_bytes(codecs.BOM_UTF8 + TEXT.encode())
    assert compose(["model=mine"], str(mine.parents[1])).model.hidden == [8, 8]


def test_an_experiment_without_its_package_is_refused(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("defaults: [override /model: lenet]\n")
    with pytest.raises(Refused, match="its first line is missing: # @package _global_"):
        compose(["experiment=mine"], str(tmp_path))


@pytest.mark.parametrize(
    ("target", "message"),
    [("mine.yaml", "leads back to itself"), ("nowhere", "is not there"), ("..", "a folder that contains it")],
)
def test_a_link_that_leads_to_no_file_is_told_as_that(mine, target, message):
    mine.symlink_to(target)
    with pytest.raises(Refused, match=rf"mine\.yaml: a symbolic link .*{message}"):
        compose(["model=mine"], str(mine.parents[1]))


def test_every_file_of_ours_passes():
    user_yaml.check_folder(conf_dir())


@pytest.mark.parametrize(
    "word", ["run.root=${train.nowhere}", "sweep.name=${train.nowhere}", "train.epochs=${oc.env:NOT_THERE}"]
)
def test_a_failing_interpolation_is_told_in_a_sweep_as_in_a_run(word):
    with pytest.raises(Refused) as alone:
        compose([word])
    with pytest.raises(Refused) as swept:
        sweep_settings([word])
        compose([word])
    assert str(swept.value) == str(alone.value) and str(alone.value).startswith(word.partition("=")[0])
