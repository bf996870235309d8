from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from d2lrun import models
from d2lrun.cli import main as cli
from d2lrun.config.compose import compose
from d2lrun.errors import Refused
from d2lrun.runs import cost
from d2lrun.runs.cost import Cost, measure, show_cost, timed
from d2lrun.training import devices
from tests.bits import same_bits

seconds, counts = st.floats(0, 1e3), st.integers(0, 10**4)


@given(seconds, seconds, counts, counts, counts)
def test_the_cost_is_that_of_all_steps_and_evaluations_of_all_epochs(step, evaluation, steps, evaluations, epochs):
    each = [step] * 3 + [evaluation] * 2
    assert Cost(step, evaluation, 3, 2, 4).seconds == pytest.approx(sum(each * 4))
    total = Cost(step, evaluation, steps, evaluations, epochs).seconds
    assert total == pytest.approx(epochs * steps * step + epochs * evaluations * evaluation)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One step is timed, not three seconds of them, on a machine that is free."""
    monkeypatch.setattr(cost, "MEASURING", 0.0)
    monkeypatch.setattr(cost.threads.Usage, "share", lambda usage: None)


@pytest.fixture
def words(stripes_folder, tmp_path):
    """330 images to train on, 101 to test with."""
    return [
        *("model=mlp", "model.hidden=[16]", "train.batch_size=64", "device=cpu"),
        *("dataset.verify=false", f"dataset.dir={stripes_folder}", f"run.root={tmp_path}/outputs"),
    ]


def console():
    return Console(file=io.StringIO(), width=80)


@pytest.mark.parametrize(
    "more, steps, evaluations",
    [
        ([], 6, 2),
        (["train.batch_size=330"], 1, 1),
        (["train.batch_size=1"], 330, 101),
        (["train.limit_batches=3"], 3, 2),
        (["train.limit_batches=1"], 1, 1),
        (["validation=holdout", "validation.fraction=0.5"], 3, 3),
    ],
)
def test_the_steps_are_those_of_the_loop(words, more, steps, evaluations):
    found, _ = measure(compose([*words, "train.epochs=7", *more]), console())
    assert (found.steps, found.evaluations, found.epochs) == (steps, evaluations, 7)
    assert 0 < found.step < math.inf and 0 < found.evaluation < math.inf


def test_the_steps_that_are_timed_are_steps_of_training(words):
    """Forward, backward and the optimizer's: with plain SGD at a rate of 0 no weight moves."""
    config = compose([*words, "train.clip=1"])
    _, experiment = measure(config, console())
    torch.manual_seed(config.seed)
    first = models.build(config.model, (1, 28, 28), 10).state_dict()
    assert experiment.state.step >= 2
    assert all(parameter.grad is not None for parameter in experiment.state.model.parameters())
    assert same_bits(experiment.state.model.state_dict(), first)


def test_the_least_of_several_calls_counts_and_the_first_does_not(monkeypatch):
    monkeypatch.setattr(cost, "MEASURING", 10.0)
    now, durations = [0.0], iter([99.0, 3.0, 2.0, 5.0, 4.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])

    def action():
        now[0] += next(durations)

    assert timed(action) == 2.0
    assert list(durations) == []  # 3 + 2 + 5 + 4 is more than ten seconds


def test_what_a_run_would_be_refused_is_refused(monkeypatch, words):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32"])
    with pytest.raises(Refused, match=r"device\.precision=bf16: not in the hardware"):
        measure(compose([*words, "device.precision=bf16"]), console())


def shown(found, *overrides):
    text = console()
    show_cost(text, compose(["model=lenet", *overrides]), found, torch.device("cpu"))
    return text.file.getvalue().splitlines()


SHORT, LONG = Cost(0.001, 0.0005, 235, 40, 10), Cost(2.0, 0.5, 469, 79, 10)
WHERE = "lenet on the cpu with 1 thread: about"


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_short_run_is_one_line(one_thread):
    assert shown(SHORT) == [f"{WHERE} 2.5 s"]


@pytest.mark.parametrize(
    "have, overrides, hint",
    [
        (["fp32"], [], "  a look takes train.epochs=1 train.limit_batches=5 (make: QUICK=1)"),
        (
            ["fp32", "bf16", "fp16"],
            [],
            "  device.precision=bf16 may halve it; a look takes train.epochs=1 train.limit_batches=5 (make: QUICK=1)",
        ),
        (
            ["fp32", "bf16"],
            ["device.precision=bf16"],
            "  a look takes train.epochs=1 train.limit_batches=5 (make: QUICK=1)",
        ),
    ],
)
def test_a_long_run_is_broken_down_and_has_a_hint(monkeypatch, one_thread, have, overrides, hint):
    monkeypatch.setattr(devices, "precisions", lambda device: have)
    assert shown(LONG, *overrides) == [
        f"{WHERE} 2 h 42 min",
        "  10 × (469 steps of 2 s + 79 evaluated batches of 0.5 s), measured just now",
        hint,
    ]


@pytest.mark.parametrize("long", [False, True])
def test_beside_other_programs_no_long_run_is_forecast(one_thread, long):
    lines = shown(replace(LONG if long else SHORT, waiting=0.5))
    assert lines[0] == "this machine is busy: other programs use the cores that a run needs"
    assert ("about" in " ".join(lines)) != long


def test_waiting_for_a_core_is_measured(monkeypatch, words):
    monkeypatch.setattr(cost.threads.Usage, "share", lambda usage: 0.25)
    assert measure(compose(words), console())[0].waiting == 0.25


@pytest.mark.parametrize("seconds, lines", [(cost.LONG - 1, 1), (cost.LONG, 3)])
def test_long_is_what_takes_three_minutes(seconds, lines):
    assert len(shown(Cost(seconds, 0.0, 1, 1, 1))) == lines


def files_below(*folders):
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("epochs, lines", [(1, 1), (10**7, 3)])
def test_the_verb_says_it_and_writes_nothing(monkeypatch, capsys, tmp_path, stripes_folder, words, epochs, lines):
    monkeypatch.chdir(tmp_path)
    before = files_below(tmp_path, stripes_folder)
    assert cli.dispatch(["cost", *words, f"train.epochs={epochs}"]) == 0
    out, err = capsys.readouterr()
    said = out.splitlines()
    assert (len(said), err) == (lines, "")
    assert said[0].startswith("mlp on the cpu with ")
    assert files_below(tmp_path, stripes_folder) == before
    assert list(tmp_path.iterdir()) == []


def test_the_verb_times_a_run_that_is_resized_mixed_and_frozen(monkeypatch, capsys, words):
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32", "bf16", "fp16"])
    more = ["dataset.resize=20", "dataset.channels=3", "device.precision=fp16", "model.freeze=['1.*']"]
    assert cli.dispatch(["cost", *words, *more]) == 0
    assert capsys.readouterr().out.startswith("mlp on the cpu with ")


def test_the_look_of_the_hint_is_a_config():
    config = compose([*cost.LOOK])
    assert (config.train.epochs, config.train.limit_batches) == (1, 5)


@pytest.mark.parametrize("more, evaluated", [([], False), (["validation=holdout"], True)])
def test_a_language_model_is_timed_as_its_loop_trains_it(more, evaluated):
    """2,000 tokens in 4 rows of windows of 10: 49 or 50 steps of an epoch, fewer where a part is held out."""
    small = ["model=rnn", "model.hidden=8", "dataset=pydoc", "dataset.max_tokens=2000", "dataset.steps=10"]
    config = compose([*small, "train.batch_size=4", "train.epochs=3", "device=cpu", *more])
    found, experiment = measure(config, console())
    split = experiment.split
    assert found.steps == len(split.train.shuffled(4, config.seed, 0)) >= 40
    assert found.evaluations == (sum(map(len, split.val.ordered(4))) if evaluated else 0)
    assert (found.evaluation > 0) == evaluated


def test_counting_has_no_steps_to_be_timed():
    with pytest.raises(Refused, match="model=ngram has no steps to time") as caught:
        measure(compose(["model=ngram", "dataset=pydoc"]), console())
    assert caught.value.hint == "d2lrun model=ngram"
