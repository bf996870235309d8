"""What d2lrun uses of Hydra's inside, each use by what it is for."""

from __future__ import annotations

import importlib
import inspect
import re
import warnings
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigSource
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from omegaconf import OmegaConf

from d2lrun.config import hydra_internal
from d2lrun.config.compose import parse_override

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("version", "passed"),
    [("1.3.8", True), ("1.4.0rc3", False), ("1.4.0", False), ("1.10.2", False), ("2.0.0.dev1", False)],
)
def test_version_base_is_passed_below_1_4_only(version, passed):
    assert hydra_internal.version_base(version) == ({"version_base": "1.3"} if passed else {})


def test_hydra_composes_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with hydra_internal.initialised():
            assert hydra.compose("config").model.name == "mlp"
    assert not GlobalHydra.instance().is_initialized()


def test_hydra_calls_the_job_with_the_config_of_the_command_line(monkeypatch, tmp_path, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["d2lrun", "model=lenet"])
    seen = []
    hydra_internal.main(lambda config: seen.append(config.model.name))
    assert seen == ["lenet"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("word", ["--cfg=job", "--info=all", "--multirun", "--hydra-help", "--shell-completion"])
def test_the_parser_knows_hydras_options(word):
    known, unknown = hydra_internal.options_parser().parse_known_args([word, "model=mlp"])
    assert (known.overrides, unknown) == (["model=mlp"], [])
    assert {"cfg", "package", "resolve", "multirun", "config_dir", "info", "shell_completion"} <= vars(known).keys()


def test_a_key_is_deleted_with_what_is_below_it():
    config = OmegaConf.create({"a": {"b": {"c": 1}, "d": 2}})
    hydra_internal.delete(parse_override("~a.b"), config)
    assert config == {"a": {"d": 2}}


@pytest.mark.parametrize("text", ["~a.nope", "~a.b.c", "~a.d=3"])
def test_what_is_not_there_can_not_be_deleted(text):
    with pytest.raises(ConfigCompositionException):
        hydra_internal.delete(parse_override(text), OmegaConf.create({"a": {"d": 2}}))


def test_only_hydras_default_launcher_is_serial():
    found = {cls.__name__: cls for cls in Plugins.instance().discover(Launcher)}
    serial = {name for name, cls in found.items() if hydra_internal.is_serial(cls.__new__(cls))}
    assert serial == {"BasicLauncher"}
    assert len(found) >= 2


def test_every_entry_point_for_hydra_is_a_concrete_plugin():
    table = (ROOT / "pyproject.toml").read_text("utf-8").partition('entry-points."hydra.plugins"]')[2].partition("[")[0]
    points = re.findall(r'^\w+ = "([\w.]+):(\w+)"$', table, re.MULTILINE)
    assert len(points) == table.count("=") == 1
    for module, name in points:
        plugin = getattr(importlib.import_module(module), name)
        assert issubclass(plugin, Sweeper)
        assert not inspect.isabstract(plugin)


def test_a_package_after_a_byte_order_mark_is_seen():
    assert ConfigSource._get_header_dict("\ufeff# @package _global_\na: 1\n") == {"package": "_global_"}
