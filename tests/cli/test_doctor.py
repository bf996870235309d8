from __future__ import annotations

import io
import platform

import pytest
import torch
from rich.console import Console

from d2lrun import datasets
from d2lrun.cli import doctor
from d2lrun.errors import Refused
from d2lrun.training import devices


@pytest.fixture
def examined(monkeypatch):
    """What doctor prints, line by line, and its code; the dataset is what ``load`` gives."""

    def examine(load):
        monkeypatch.setattr(datasets, "load", load)
        console = Console(file=io.StringIO(), width=80)
        code = doctor.examine(console)
        lines = console.file.getvalue().splitlines()
        return code, {line[:13].strip(): line[13:] for line in lines}

    return examine


def test_versions_and_devices(examined, stripes):
    code, facts = examined(lambda config: stripes)
    assert code == 0
    assert facts["python"].startswith(platform.python_version())
    assert facts["torch"] == torch.__version__
    assert "cpu" in facts["devices"]
    assert set(facts) >= {*doctor.PACKAGES, "system", "config", "terminal", "disk"}
    assert facts["data"] == "fashion-mnist in striped"


def test_each_device_has_its_precisions(monkeypatch, examined, stripes):
    monkeypatch.setattr(devices, "available", lambda: ["mps", "cpu"])
    monkeypatch.setattr(devices, "precisions", lambda device: {"mps": ["fp32", "fp16"], "cpu": ["fp32"]}[device.type])
    _, facts = examined(lambda config: stripes)
    assert facts["devices"].startswith("mps with fp32, fp16; cpu with fp32 (")


def test_missing_data_are_code_2_and_a_hint(examined):
    def missing(config):
        assert config.mirrors == []  # doctor fetches nothing
        raise Refused("no good files", "give `make data`")

    code, facts = examined(missing)
    assert (code, facts["data"], facts[""]) == (2, "no good files", "give `make data`")


def test_a_package_that_is_not_there():
    assert doctor.installed("no-such-package-of-anyone") == "not installed"
