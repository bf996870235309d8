"""The fingerprint of code: equal for equal code, another for each change that can change a result."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from d2lrun.config import plugins
from d2lrun.config.code import fingerprint

TEXT = '''
from functools import partial
from torch import nn

SCALE = 2.0
NAMES = {"a": [1, 2]}


def helper(x, shift=0.5):
    return x * SCALE + shift


def outer(factor):
    def inner(x):
        return helper(x) * factor
    return inner


class Settings:
    def __init__(self, power):
        self.power = power


class Base(nn.Module):
    width = 3

    @property
    def size(self):
        return self.width


class Net(Base):
    """A network."""

    def __init__(self, hidden=8):
        super().__init__()
        self.hidden = hidden  # units
        self.layer = nn.Linear(self.size, hidden)
        self.act = outer(3)
        self.settings = Settings(2)

    def forward(self, x):
        return self.act(self.layer(x)) + len(NAMES)
'''
NUMBERS = itertools.count()


@pytest.fixture
def module(tmp_path):
    """``module(TEXT)``: the text as a module of its own file."""

    def made(text: str):
        path = tmp_path / f"own{next(NUMBERS)}.py"
        path.write_text(text, encoding="utf-8")
        return plugins.run(path, text.encode(), f"tests_of_code_{path.stem}")

    return made


@pytest.mark.parametrize(
    "old, new",
    [
        ("SCALE = 2.0", "SCALE = 2.5"),
        ('{"a": [1, 2]}', '{"a": [1, 3]}'),
        ("shift=0.5", "shift=0.25"),
        ("x * SCALE", "x / SCALE"),
        ("outer(3)", "outer(4)"),
        ("width = 3", "width = 4"),
        ("return self.width", "return self.width + 0"),
        ("hidden=8", "hidden=9"),
        ("class Net(Base)", "class Net(nn.Module)"),
        ("+ len(NAMES)", "- len(NAMES)"),
        ("nn.Linear(self.size, hidden)", "nn.Linear(self.size, hidden, bias=False)"),
        ("helper(x) * factor", "abs(helper(x)) * factor"),
    ],
)
def test_a_change_of_code_changes_the_fingerprint(module, old, new):
    assert TEXT.count(old) == 1
    assert fingerprint(module(TEXT).Net) != fingerprint(module(TEXT.replace(old, new)).Net)


@pytest.mark.parametrize(
    "old, new",
    [
        ("  # units", "  # number of units"),
        ('"""A network."""', '"""Another text."""'),
        ("\n\n\nclass", "\n\n\n\n# a comment\nclass"),
        ("x * SCALE + shift", "(x*SCALE  +  shift)"),
        ("SCALE = 2.0", "UNUSED = 1\nSCALE = 2.0"),
    ],
)
def test_layout_and_comments_do_not_count(module, old, new):
    assert old in TEXT
    assert fingerprint(module(TEXT).Net) == fingerprint(module(TEXT.replace(old, new)).Net)


def test_the_weights_do_not_count_and_the_structure_does(module):
    net = module(TEXT).Net
    assert fingerprint(net()) == fingerprint(net())
    frozen = net()
    frozen.layer.weight.requires_grad_(False)
    assert len({fingerprint(each) for each in (net(), net(9), frozen, net().double())}) == 4


def test_a_value_of_an_instance_counts(module):
    net = module(TEXT).Net
    changed = [net() for _ in range(3)]
    changed[0].settings.power = 3
    changed[1].extra = "a"
    changed[2].act = net().forward
    assert len({fingerprint(each) for each in (net(), *changed)}) == 4


@pytest.mark.parametrize(
    "one, other",
    [
        (nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3, padding=1)),
        (nn.Dropout(0.1), nn.Dropout(0.2)),
        (nn.Sequential(nn.ReLU(), nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2), nn.ReLU())),
        (nn.LazyLinear(3), nn.LazyLinear(4)),
    ],
)
def test_layers_of_torch_differ_by_their_settings(one, other):
    assert fingerprint(one) != fingerprint(other) and fingerprint(one) == fingerprint(one)


def test_closures_and_lambdas_differ_by_their_values():
    def made(value):
        return lambda x: x * value

    tensors = torch.ones(2), torch.zeros(2)
    assert len({fingerprint(made(value)) for value in (1, 2, "a", None, *tensors)}) == 6
    assert fingerprint(made(1)) == fingerprint(made(1))


def test_code_without_a_text_has_a_fingerprint():
    names: dict = {}
    for text in ("def f(x):\n    return x + 1", "def g(x):\n    return x + 1", "def h(x):\n    return x + 2"):
        exec(text, names)
        names[text[4]].__qualname__ = "same"
    prints = [fingerprint(names[name]) for name in "fgh"]
    assert prints[0] == prints[1] != prints[2]


def test_what_names_itself_ends():
    def recursive(n):
        return recursive(n - 1) if n else 0

    values: list = [1]
    values.append(values)
    assert fingerprint(recursive) and fingerprint([values]) == fingerprint([values])
