"""The fingerprint of code: equal for equal code, another for each change that can change a result."""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import random
import subprocess
import sys
import threading
import types
from collections import deque
from pathlib import Path

import numpy as np
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


def test_lambdas_of_one_line_differ():
    both = [lambda x: x + 1, lambda x: x + 2]
    assert fingerprint(both[0]) != fingerprint(both[1])


class Slotted:
    """An object without a dictionary."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(
    "one, other",
    [
        (torch.sin, torch.cos),
        (torch.float32, torch.float64),
        (Path("a"), Path("b")),
        (range(3), range(4)),
        (deque([1]), deque([2])),
        (Slotted(1), Slotted(2)),
        (random.Random(1), random.Random(2)),
        (functools.cached_property(len), functools.cached_property(abs)),
        (functools.cache(lambda x: x), functools.cache(lambda x: -x)),
        (0.0, -0.0),
        (1, True),
        (np.array([1, None]), np.array([2, None])),
        (torch.zeros(2, device="meta"), torch.zeros(3, device="meta")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_differ_by_what_pickle_keeps(one, other):
    assert fingerprint(one) != fingerprint(other) and fingerprint(one) == fingerprint(one)


@pytest.mark.parametrize(
    "value",
    [threading.Lock(), (each for each in ()), torch.zeros(2).to_sparse()],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_pickled_counts_by_its_class(value):
    assert fingerprint(value) == fingerprint(value)


def test_hooks_count_and_their_numbers_do_not():
    def hooked(factor):
        layer = nn.Linear(2, 2)
        layer.handle = layer.register_forward_hook(lambda layer, given, out: out * factor)
        return layer

    assert fingerprint(hooked(2)) == fingerprint(hooked(2))
    assert len({fingerprint(each) for each in (nn.Linear(2, 2), hooked(2), hooked(3))}) == 3
    assert fingerprint(nn.LazyLinear(2)) == fingerprint(nn.LazyLinear(2))


def test_what_is_shared_counts():
    layers = [nn.Linear(2, 2) for _ in range(3)]
    orders = [(0, 1), (0, 1, 0), (0, 1, 1), (0, 1, 2)]
    assert len({fingerprint(nn.Sequential(*(layers[each] for each in order))) for order in orders}) == 4
    tied = [nn.ModuleList(nn.Linear(2, 2) for _ in range(3)) for _ in range(3)]
    for network, other in zip(tied, (0, 1), strict=False):
        network[2].weight = network[other].weight
    assert len({*map(fingerprint, tied)}) == 3


def test_the_values_of_a_buffer_count_if_no_file_has_them():
    def made(value, persistent):
        layer = nn.Linear(2, 2)
        layer.register_buffer("mask", torch.tensor([value]), persistent=persistent)
        return layer

    prints = [fingerprint(made(*each)) for each in itertools.product((1.0, 2.0), (False, True))]
    assert prints[1] == prints[3] and len({*prints}) == 3


def test_a_wrapper_counts_beside_what_it_wraps():
    def wrapped(wrap):
        return functools.wraps(torch.relu)(wrap(torch.relu))

    one, other = wrapped(lambda f: lambda x: f(x) * 2), wrapped(lambda f: lambda x: f(x) * 3)
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(torch.no_grad()(one)) != fingerprint(torch.no_grad()(other))


def test_a_module_of_the_user_counts_as_far_as_it_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    prints = []
    for text in ("A = 1\nB = 1", "A = 2\nB = 1", "A = 1\nB = 2"):
        names: dict = {"own": types.ModuleType("own")}
        exec(text, names["own"].__dict__)
        exec("def f(x):\n    return x + own.A", names)
        prints.append(fingerprint(names["f"]))
    assert prints[0] == prints[2] != prints[1]


def test_a_file_that_was_edited_after_its_import_does_not_count(module):
    net = module(TEXT).Net
    before = fingerprint(net)
    file = Path(inspect.getsourcefile(net) or "")
    file.write_text(TEXT.replace("* SCALE", "/ SCALE"), encoding="utf-8")
    assert fingerprint(net) == before


def test_the_fingerprint_is_equal_in_each_process(tmp_path):
    """Python's hashes of texts, which order sets, differ between processes."""
    (tmp_path / "own.py").write_text(
        "from d2lrun.config.code import fingerprint\nKINDS = {'a', 'b', 'zz', len, abs}\n"
        "class Net:\n    def forward(self, x):\n        return x in {'c', 'dd', 'eee'} or x in KINDS\n"
        "print(fingerprint(Net), fingerprint(Net()))\n"
        'exec(\'def f(x): return x in {1, "a", "b", "c"}\')\nprint(fingerprint(f))',
        encoding="utf-8",
    )
    found = [
        subprocess.run(
            [sys.executable, "own.py"], cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True
        ).stdout
        for seed in "12"
    ]
    assert found[0] == found[1] and len(found[0]) > 180


def test_code_without_a_text_has_a_fingerprint():
    names: dict = {}
    for text in ("def f(x):\n    return x + 1", "def g(x):\n    return x + 1", "def h(x):\n    return x + 2"):
        exec(text, names)
        names[text[4]].__qualname__ = "same"
    prints = [fingerprint(names[name]) for name in "fgh"]
    assert prints[0] == prints[1] != prints[2]


def test_a_class_of_exec_is_the_users():
    def made(text):
        names: dict = {}
        exec(f"class Net:\n    def forward(self, x):\n        return {text}", names)
        return names["Net"]

    assert fingerprint(made("x")) != fingerprint(made("-x"))


def test_what_names_itself_ends():
    def recursive(n):
        return recursive(n - 1) if n else 0

    values: list = [1]
    values.append(values)
    assert fingerprint(recursive) and fingerprint([values]) == fingerprint([values])


class Frame:
    """A table that keeps what was asked of it, as pandas does."""

    def __init__(self, values):
        self.columns, self.values, self.asked = ["a", "b"], np.array(values), []

    def to_numpy(self):
        self.asked.append(1)
        return self.values


def test_a_table_is_its_columns_and_values_however_often_it_was_used():
    table, other = Frame([[1, 2]]), Frame([[1, 3]])
    assert fingerprint(table) == fingerprint(table) != fingerprint(other)
    other.values = table.values
    assert fingerprint(table) == fingerprint(other)
    other.columns = ["a", "c"]
    assert fingerprint(table) != fingerprint(other)
