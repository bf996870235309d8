"""A mistake in a network of one's own, as the docs add it, is told with its file, line and what is wrong."""

from __future__ import annotations

import re
import sys
from dataclasses import make_dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.config.keys import Model
from d2lrun.config.tables import MODELS, Network
from d2lrun.config.types import Count
from d2lrun.errors import Refused
from d2lrun.models import faults
from d2lrun.models.inputs import Pairs, Stream

DOCS = (Path(__file__).parents[2] / "docs" / "networks.md").read_text(encoding="utf-8")
NETWORK = re.findall(r"```python\n(.*?)```", DOCS.partition("## Add a network")[2], re.DOTALL)[0]
# What is written in the place of what, and what is then told, after the file.
MISTAKES = {
    "a layer": ("nn.Linear", "nn.Liner", r":15: AttributeError: module .* has no attribute 'Liner'"),
    "the class": ("class TinyCNN", "class TinyCnn", r": no TinyCNN in it, .* \(have: TinyCnn\)"),
    "syntax": ("nn.ReLU(),", "nn.ReLU(,", r":10: not valid Python"),
    "a size": ("channels * 7 * 7", "channels * 7", r":15: Linear\(in_features=14, .* gets 1×98: mat1 and mat2 shapes"),
    "channels": ("nn.Conv2d(inputs[0]", "nn.Conv2d(3", r":11: Conv2d\(3, 2.* gets 1×1×28×28: .* 3 channels"),
    "a lost layer": ("            nn.Flatten(),\n", "", r":14: Linear\(.* gets 1×2×7×7: "),
    "a name": ("nn.Flatten()", "Flatten()", r":14: NameError: name 'Flatten' is not defined"),
    "a keyword": ("channels", "width", r":9: TinyCNN: it wants width, which is not given; it does not take channels"),
    "no classes": (", classes: int", "", r":9: TinyCNN: it does not take classes"),
    "an import": (
        "from torch import nn",
        "from torch import nn, nothing",
        r":3: ImportError: cannot import name 'nothing'",
    ),
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """``build(TEXT)``: the network of one's own whose file has this text."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    monkeypatch.setattr(faults, "file_of", lambda name: tmp_path / "tiny_cnn.py")
    monkeypatch.setitem(MODELS, "tiny-cnn", Network("TinyCNN", {"channels": Count}))
    mlp = compose([]).model
    fields = [("name", str), ("channels", int)]
    config = make_dataclass("Tiny", fields, bases=(Model,))(mlp.init, None, [], "tiny-cnn", 2)

    def build(text: str):
        (tmp_path / "tiny_cnn.py").write_text(text, encoding="utf-8")
        return models.build(config, (1, 28, 28), 10)

    yield build
    sys.modules.pop("d2lrun.models.tiny_cnn", None)


def test_the_network_of_the_readme_is_built(build):
    assert sum(parameter.numel() for parameter in build(NETWORK).parameters()) == 2 * 9 + 2 + 98 * 10 + 10


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_file_and_line(build, mistake):
    right, wrong, told = MISTAKES[mistake]
    assert right in NETWORK
    with pytest.raises(Refused, match=rf"tiny_cnn\.py{told}"):
        build(NETWORK.replace(right, wrong))


def test_a_file_that_is_missing_is_named(build, tmp_path):
    with pytest.raises(Refused, match=r"model=tiny-cnn: its file .*tiny_cnn\.py is missing"):
        faults.check_file("tiny-cnn")


def test_every_network_of_ours_takes_the_arguments_of_its_line():
    for name, entry in MODELS.items():
        faults.check_arguments(
            name, models.network(SimpleNamespace(name=name)), dict.fromkeys(["inputs", "classes", *entry.arguments])
        )


LOGITS = torch.zeros(1, 3, 5)


@pytest.mark.parametrize("state", [None, torch.zeros(1), (torch.zeros(1), torch.zeros(1))])
def test_a_stream_has_logits_and_a_state(state):
    faults.check_outputs("own", (LOGITS, state), Stream(3), 5)
    with pytest.raises(Refused, match=r"is \[1, 3, 5\], wanted \[1, T, 4\]"):
        faults.check_outputs("own", (LOGITS, state), Stream(3), 4)


@pytest.mark.parametrize("outputs", [LOGITS, (LOGITS,), (LOGITS, {}), (LOGITS, [torch.zeros(1)]), (LOGITS, None, None)])
def test_a_stream_without_a_state_is_refused(outputs):
    with pytest.raises(Refused, match=r"wanted \(logits, state\)"):
        faults.check_outputs("own", outputs, Stream(3), 5)


def test_a_network_of_pairs_translates_step_by_step():
    with pytest.raises(Refused, match="cannot translate token by token"):
        faults.check_network("own", nn.Linear(2, 2), Pairs(5))
