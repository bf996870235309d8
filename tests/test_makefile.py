"""What ``make`` would do, as ``make -n`` tells it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from d2lrun.config.compose import compose
from d2lrun.config.tables import MODELS
from d2lrun.runs.cost import LOOK
from d2lrun.sweeps import grid, request

MAKEFILE = Path(__file__).parents[1] / "Makefile"
SHORT = {"softmax": "softmax", "mlp": "mlp", "lenet": "lenet", "batch-norm": "lenet-bn"}
LONG = {name: name for name in ("alexnet", "vgg", "nin", "googlenet", "resnet", "densenet")}
D2LRUN = ".venv/bin/d2lrun"
SHORT_LOOK = ["train.epochs=1", "train.limit_batches=20"]  # of a chapter whose steps are short


@pytest.fixture
def make(tmp_path):
    """``make(WORD…)``: the commands it would run where everything is set up, each as its words."""
    shutil.copy(MAKEFILE, tmp_path)
    data = tmp_path / "cache" / "fashion-mnist" / "t10k-labels-idx1-ubyte"
    for at, path in enumerate(
        (tmp_path / "pyproject.toml", tmp_path / "requirements.lock", tmp_path / ".venv/.ready", data)
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (at, at))
    kept = {name: value for name, value in os.environ.items() if name not in ("ARGS", "QUICK", "MAKEFLAGS", "PYTHON")}

    def make(*words):
        command = ["make", "--no-print-directory", *words]
        environment = kept | {"D2LRUN_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=1800
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return make


def commands(text):
    """Each command of each line of a shell."""
    return [part.split() for line in text.splitlines() for part in line.split("&&")]


def test_every_network_of_the_book_has_a_target():
    of_images = {name for name, entry in MODELS.items() if entry.inputs[0] == "images"}
    assert {*SHORT.values(), *LONG.values()} == of_images - {"torchvision"}


def test_every_recurrent_network_has_a_target(make):
    targets = {"ngram": "language-model", "rnn": "rnn", "gru": "gru", "lstm": "lstm"}
    assert {*targets, "transformer"} == {name for name, entry in MODELS.items() if "text" in entry.inputs}
    for name, target in targets.items():
        assert f"d2lrun model={name}" in make("-n", target)
    for target in ("deep-rnn", "bi-rnn", "whole-book", "seq2seq", "transformer", "arithmetic"):
        assert f"d2lrun experiment={target}" in make("-n", target)
        assert "train.epochs=" in make("-n", target, "QUICK=1")
    assert "d2lrun data dataset=timemachine" in make("-n", "text")


@pytest.mark.parametrize(
    "target", ["rnn", "gru", "lstm", "deep-rnn", "bi-rnn", "whole-book", "seq2seq", "attention", "arithmetic"]
)
def test_an_override_wins_over_the_quick_look_of_a_text(make, target):
    (words,) = commands(make("-n", target, "QUICK=1", "ARGS=train.epochs=3 seed=7"))
    config = compose(words[1:])
    assert (config.train.epochs, config.seed) == (3, 7)


@pytest.mark.parametrize(
    "target", ["sequence", "model-selection", "weight-decay", "dropout", "house-prices", "kfold", "sweep", "tagging"]
)
def test_what_selects_a_model_can_be_composed_and_takes_overrides(make, target):
    for line in make("-n", target, "QUICK=1", "ARGS=seed=7 train.epochs=4").splitlines():
        words = shlex.split(line)[1:]
        plan = grid.plan(request.read([word for word in words if word != "-m"], None, line))
        assert len(plan.jobs) > 1 or "-m" not in words
        assert {(job.config.seed, job.config.train.epochs) for job in plan.jobs} == {(7, 4)}


def test_make_alone_lists_every_chapter_with_its_section(make):
    lines = {line.split()[1]: line for line in make().splitlines()}
    for target, model in (SHORT | LONG).items():
        section = compose([f"model={model}"]).book.section
        assert f"book {section}" in lines[target] or f", {section}" in lines[target], target
    assert "book 8.1" in lines["sequence"]
    assert {"run", "data", "test", "summary", "doctor"} <= set(lines)


@pytest.mark.parametrize("target", SHORT)
def test_a_short_chapter_is_trained(make, target):
    assert commands(make("-n", target)) == [[D2LRUN, f"model={SHORT[target]}"]]


def test_augmentation_says_first_what_it_costs(make):
    train = "experiment=augmentation"
    assert commands(make("-n", "augmentation")) == [[D2LRUN, "cost", train], [D2LRUN, train]]
    (words,) = commands(make("-n", "augmentation", "QUICK=1", "ARGS=seed=7"))
    assert (compose(words[1:]).seed, compose(words[1:]).train.limit_batches) == (7, 5)


@pytest.mark.parametrize("target", LONG)
def test_a_long_chapter_says_first_what_it_costs(make, target):
    train = f"model={LONG[target]}"
    assert commands(make("-n", target)) == [[D2LRUN, "cost", train], [D2LRUN, train]]


@pytest.mark.parametrize("target", SHORT | LONG)
def test_a_quick_look_is_one_short_epoch(make, target):
    look = LOOK if target in LONG else SHORT_LOOK
    assert commands(make("-n", target, "QUICK=1")) == [[D2LRUN, f"model={(SHORT | LONG)[target]}", *look]]


def test_a_quick_look_of_the_default_is_short_too(make):
    assert commands(make("-n", "run", "QUICK=1")) == [[D2LRUN, *SHORT_LOOK]]
    assert commands(make("-n", "run")) == [[D2LRUN]]


def test_quick_shortens_every_target_that_trains(make):
    """What trains is told by the commands of each target: d2lrun without a verb, and the benchmarks."""
    targets = re.findall(r"^([a-z-]+):.*## ", MAKEFILE.read_text(encoding="utf-8"), re.MULTILINE)
    trains = re.compile(rf"{re.escape(D2LRUN)} (-m|model=|experiment=|$)|bench\.py", re.MULTILINE)
    training = {target: done for target in targets if trains.search(done := make("-n", target))}
    assert len(training) > 20 and {"model-selection", "house-prices", "language-model", "bench"} <= set(training)
    for target, done in training.items():
        words = [line for line in make("-n", target, "QUICK=1").splitlines() if trains.search(line)]
        assert words and not set(words) & set(done.splitlines()), target


def test_every_file_that_a_target_names_is_there():
    named = re.findall(r"\b(?:tests|benchmarks|conf)/[\w/]+\.\w+", MAKEFILE.read_text(encoding="utf-8"))
    assert len(named) >= 2
    assert [name for name in named if not (MAKEFILE.parent / name).is_file()] == []


def test_a_target_takes_overrides_for_the_cost_and_the_run(make):
    given = ["train.epochs=3", "seed=1"]
    words = f"ARGS={' '.join(given)}"
    assert commands(make("-n", "vgg", words)) == [[D2LRUN, "cost", "model=vgg", *given], [D2LRUN, "model=vgg", *given]]
    assert commands(make("-n", "lenet", words)) == [[D2LRUN, "model=lenet", *given]]


def test_an_override_wins_over_the_quick_look(make):
    (words,) = commands(make("-n", "vgg", "QUICK=1", "ARGS=train.limit_batches=5"))
    config = compose(words[1:])
    assert (config.train.epochs, config.train.limit_batches) == (1, 5)
