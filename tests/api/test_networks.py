"""One's own network: its run is a run as any other, and its code and structure belong to the config."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import d2lrun as d2l
from d2lrun import datasets

SHORT = {"device": "cpu", "train__epochs": 2, "run__pictures": False, "optimizer__lr": 0.05}
ROWS = np.random.default_rng(1).normal(size=(64, 3)).astype("float32")
DATA = (ROWS, ROWS @ np.array([1, -2, 0.5], dtype="float32"))


class WithExtra(nn.Linear):
    """A layer whose state has something that is no tensor."""

    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


class Net(nn.Module):
    """A network of two layers."""

    def __init__(self, hidden: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class WithoutState(nn.Linear):
    """A layer whose state lacks its parameters, so no checkpoint would have them."""

    def state_dict(self, *args, **keywords):
        return {}


def state(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_instance_is_copied_and_begins_with_its_weights(bits):
    network = Net()
    before = state(network)
    still = d2l.train(model=network, data=DATA, **{**SHORT, "optimizer__lr": 1e-30})
    assert same(bits(still), before)
    moved = d2l.train(model=network, data=DATA, **SHORT)
    assert same(state(network), before) and not same(bits(moved), before)
    assert isinstance(moved.model, Net) and moved.model is not network and not moved.model.training
    assert same(state(moved.model), bits(moved))


def test_a_class_is_made_from_the_seed_of_the_run(bits):
    runs = [d2l.train(model=Net, data=DATA, seed=seed, **SHORT) for seed in (1, 1, 2)]
    assert same(bits(runs[0]), bits(runs[1])) and not same(bits(runs[0]), bits(runs[2]))
    assert runs[0].config["model"] == runs[1].config["model"]


@pytest.mark.parametrize("given", [Net, Net()], ids=["class", "instance"])
def test_the_same_cell_continues_an_interrupted_run(given, bits, interrupted):
    words = {"model": given, "data": DATA, "train__batch_size": 16, **SHORT}  # eight steps
    straight = d2l.train(run__dir="straight", **words)
    interrupted(**words)
    resumed = d2l.train(**words)
    assert len(list(resumed.directory.parent.iterdir())) == 1
    assert same(bits(straight), bits(resumed)) and resumed.status == "finished"


@pytest.mark.parametrize(
    "given",
    [
        Net,
        lambda: Net(5),
        functools.partial(Net, hidden=6),
        lambda inputs, classes: nn.Linear(inputs[0], classes),
        lambda classes: nn.Linear(3, classes),
        nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1)),
        nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(1)),
        nn.Linear(3, 1),
        type("_1网络" + "a" * 99, (Net,), {}),
        functools.partial(functools.partial(Net), 3),
    ],
    ids=lambda given: getattr(given, "__name__", type(given).__name__)[:9],
)
def test_what_makes_a_network_is_taken(given, bits):
    runs = [d2l.train(model=given, data=DATA, run__dir=name, **SHORT) for name in "ab"]
    assert same(bits(runs[0]), bits(runs[1])) and runs[0].status == "finished"
    assert isinstance(d2l.build(model=given, dataset=runs[0].config["dataset"]), nn.Module)
    if isinstance(given, nn.Module):
        assert all(parameter.grad is None for parameter in given.parameters())


@pytest.mark.parametrize(
    "given, message",
    [
        (nn.Linear(3, 2), r"output for one example is \[1, 2\], wanted \[1, 1\]"),
        (nn.Linear(4, 1), r"mat1 and mat2 shapes cannot be multiplied"),
        (nn.Flatten(), "no parameters to train"),
        (lambda: 3, "returns a int, not an nn.Module"),
        (lambda width: nn.Linear(3, 1), "it needs width"),
        (Net().double(), r"test_networks.py:\d+: .*dtype"),
        (Net().requires_grad_(False), "no parameters to train"),
        (nn.LSTM(3, 1), r"its output is a tuple of Tensor, tuple, wanted a tensor \[1, 1\]"),
        (WithExtra(3, 1), "_extra_state is a dict, not a tensor"),
        (lambda: WithExtra(3, 1), "_extra_state is a dict, not a tensor"),
        (torch.jit.trace(nn.Linear(3, 1), torch.ones(1, 3)), "compiled code"),
        (torch.compile(nn.Linear(3, 1)), "compiled code"),
        (WithoutState(3, 1), "its state lacks weight"),
        (lambda: WithoutState(3, 1), "its state lacks weight"),
    ],
)
def test_what_cannot_be_trained_is_refused(given, message):
    with pytest.raises(d2l.Refused, match=message) as refusal:
        d2l.train(model=given, data=DATA, **SHORT)
    assert refusal.value.hint and not list(Path("outputs").glob("runs/*/*/*/metrics.jsonl"))


class Detached(nn.Linear):
    """A layer without a gradient."""

    def forward(self, x):
        return super().forward(x).detach()


def test_a_network_without_a_gradient_fails_in_words():
    with pytest.raises(d2l.Failed, match="does not depend on parameters") as failure:
        d2l.train(model=Detached(3, 1), data=DATA, run__dir="run", **SHORT)
    assert "detach" in failure.value.hint
    assert d2l.load("run").status == "failed"


def test_the_structure_names_the_run():
    names = [
        d2l.train(model=given, data=DATA, run__dir=str(place), **SHORT).config["model"]["name"]
        for place, given in enumerate((Net(), Net(), Net(5), Net))
    ]
    assert names[0] == names[1] and len({*names}) == 3 and all(name.startswith("Net-") for name in names)


def test_resume_asks_for_the_network(bits):
    """In another process, where the class is defined by the same code in another file."""
    run = d2l.train(model=Net(), data=DATA, **SHORT)
    text = Path(__file__).read_text("utf-8")
    network = text[text.index("class Net") : text.index("def state")]
    program = f"""
import torch, sys
from torch import nn
import d2lrun
{network}
run = d2lrun.load({str(run.directory)!r})
print(run.status, len(run.records))
for ask in (run.evaluate, lambda: run.predict([[1.0, 2.0, 3.0]]), lambda: d2lrun.resume(run, epochs=3)):
    try:
        ask()
        print("not refused")
    except d2lrun.Refused as refusal:
        print("code was given in Python" in str(refusal), "model=NETWORK" in refusal.hint)
try:
    d2lrun.load(run.directory, model=Net(5))
except d2lrun.Refused as refusal:
    print("the code or the structure differs" in str(refusal))
print(d2lrun.resume(run, model=Net(), epochs=3).directory)
print(d2lrun.load(run.directory, model=Net()).predict([[1.0, 2.0, 3.0]]).tolist())
"""
    Path("other.py").write_text(program)
    done = subprocess.run([sys.executable, "other.py"], capture_output=True, text=True, timeout=600)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[:5] == ["finished 2", *["True True"] * 3, "True"]
    longer = d2l.train(model=Net, data=DATA, run__dir="none", **SHORT) and d2l.load(lines[5])
    assert longer.status == "finished" and len(longer.records) == 3
    assert eval(lines[6]) == pytest.approx(run.predict([[1.0, 2.0, 3.0]]).tolist())


def test_folds_and_sweeps_take_a_network():
    folds = d2l.train(model=Net, data=DATA, validation="kfold", validation__k=2, run__dir="folds", **SHORT)
    assert len(folds.folds) == 2
    words = [f"dataset.{key}={value}" for key, value in folds.config["dataset"].items() if key in ("path", "target")]
    sweep = d2l.sweep(*words, dataset="csv", dataset__task="regression", model=[Net, Net(5)], seed=[1, 2], **SHORT)
    assert [row["status"] for row in sweep.records] == ["finished"] * 4
    assert len({row["model"] for row in sweep.records}) == 2
    with pytest.raises(d2l.Refused, match="given twice"):
        d2l.sweep(*words, dataset="csv", dataset__task="regression", model=[Net, Net], **SHORT)


def test_a_registered_network_has_keys(bits):
    @d2l.model("two-layers")
    class Registered(Net):
        """A registered network."""

        def __init__(self, hidden: int = 4):
            super().__init__(hidden)

    run = d2l.train("model=two-layers", "model.hidden=5", data=DATA, **SHORT)
    assert bits(run)["layers.0.weight"].shape == (5, 3)
    assert d2l.train(model=Registered, data=DATA, **SHORT).config["model"]["name"] == "two-layers"


@pytest.mark.parametrize("task", ["tabular", "classification"])
def test_a_registered_dataset_is_the_same_data(task, bits):
    rows = task == "tabular"
    images = np.random.default_rng(2).integers(0, 256, (40, 5, 5), dtype="uint8")
    given = DATA if rows else {"train": (images, np.arange(40) % 3), "test": (images[:9], np.arange(9) % 3)}

    @d2l.dataset("made-here", task=task)
    def made(rows: int = 40):
        """The same data."""
        return given

    words = ["model=mlp", "model.hidden=[4]"]
    one = d2l.train(*words, "dataset=made-here", run__dir="one", **SHORT)
    other = d2l.train(*words, data=given, run__dir="other", **SHORT)
    assert same(bits(one), bits(other))
    assert d2l.load("one").evaluate() == other.evaluate() if not rows else one.predict(ROWS[:2]) is not None


@pytest.mark.parametrize("task", ["tabular", "classification"])
def test_data_of_another_task_than_named_are_refused_and_the_hint_works(task):
    given = DATA if task == "classification" else (np.zeros((4, 5, 5), dtype="uint8"), np.arange(4) % 2)
    d2l.dataset("mistaken", task=task)(lambda: given)
    with pytest.raises(d2l.Refused, match=f"dataset=mistaken: it returns .*, and its task is {task}") as refusal:
        d2l.data("dataset=mistaken")
    d2l.dataset("mistaken", task=refusal.value.hint.split("'")[1])(lambda: given)
    assert len(d2l.data("dataset=mistaken").train[1]) == len(given[1])


def leave():
    raise SystemExit(3)


def test_code_that_leaves_is_refused_with_its_line():
    d2l.dataset("leaving", task="tabular")(leave)
    with pytest.raises(d2l.Refused, match=r"test_networks.py:\d+: dataset=leaving: SystemExit: 3"):
        d2l.train("dataset=leaving", "model=linear", **SHORT)
    with pytest.raises(d2l.Refused, match=r"test_networks.py:\d+: model=leave-\w+: SystemExit: 3"):
        d2l.train(model=leave, data=DATA, **SHORT)


def test_a_message_on_data_names_the_dataset_and_not_a_path():
    @d2l.dataset("empty", task="tabular")
    def empty():
        return ROWS, [None] * len(ROWS)

    with pytest.raises(d2l.Refused, match=r"dataset=empty: train: target 1 is None"):
        d2l.train("dataset=empty", "model=linear", **SHORT)


def test_data_that_change_are_not_trained_further(monkeypatch):
    monkeypatch.setenv("OWN_FACTOR", "1")

    @d2l.dataset("changing", task="tabular")
    def changing():
        return ROWS, ROWS[:, 0] * float(os.environ["OWN_FACTOR"])

    run = d2l.train("dataset=changing", "model=linear", **SHORT)
    monkeypatch.setenv("OWN_FACTOR", "2")
    datasets._last = None  # as in another process
    with pytest.raises(d2l.Refused, match="dataset=changing") as refusal:
        d2l.resume(run, epochs=3)
    assert "give its random generator a seed" in refusal.value.hint


def test_values_that_changed_since_the_definition_are_refused():
    factor = [2.0]

    class Scaled(Net):
        """A network that uses a value of its surroundings."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers(x) * factor[0]

    d2l.model("scaled")(Scaled)
    run = d2l.train("model=scaled", data=DATA, **SHORT)
    factor[0] = 3.0
    for again in (lambda: d2l.resume(run, epochs=3), lambda: d2l.train("model=scaled", data=DATA, **SHORT)):
        with pytest.raises(d2l.Refused, match="has changed since it was defined"):
            again()
    d2l.model("scaled")(Scaled)
    assert d2l.train("model=scaled", data=DATA, **SHORT).status == "finished"
