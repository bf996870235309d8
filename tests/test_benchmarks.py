"""The benchmark measures what it says; how fast anything is, is not tested."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # scripts, not a package

import bench
import book
import epochs
import startup

from d2lrun import run
from d2lrun.compose import compose
from d2lrun.datasets.images import scale

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # torch's workers, as in the book


@pytest.fixture
def tiny(stripes_folder):
    """Overrides for 330 + 101 images: 6 batches train and 2 test."""
    return ["dataset.verify=false", f"dataset.dir={stripes_folder}", "train.batch_size=64"]


@pytest.fixture
def by_book(stripes, tmp_path):
    """The book's way over ``stripes`` with at most so many batches."""
    book.write_files(stripes, tmp_path)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return lambda limit: book.Book(model, optimizer, tmp_path, 64, limit, torch.device("cpu"))


def test_the_book_reads_the_images_that_d2lrun_does(by_book, stripes):
    batches = list(by_book(None).test_loader)
    assert torch.equal(torch.cat([images for images, _ in batches]), scale(stripes.test_images))
    assert torch.equal(torch.cat([labels for _, labels in batches]), stripes.test_labels)


def test_the_books_loop_learns_and_measures(by_book, stripes):
    way = by_book(None)
    for _ in range(4):
        loss, accuracy, test_accuracy = way.epoch()
    hits = way.model(scale(stripes.test_images)).argmax(dim=1) == stripes.test_labels
    assert loss < 1 and accuracy > 0.8
    assert test_accuracy == hits.sum().item() / 101 > 0.8


def test_the_books_batches_can_be_limited(by_book):
    way = by_book(2)
    assert (len(way.train_loader.dataset), len(way.test_loader.dataset)) == (128, 101)


@pytest.mark.parametrize("way", epochs.WAYS)
def test_each_way_takes_every_step_of_an_epoch(way, tiny, tmp_path):
    steps = []
    log = run.Log(tmp_path / "run.log", Console(quiet=True))
    epoch = epochs.WAYS[way](run.build(compose(["model=softmax", *tiny]), log), tmp_path)
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(way))
    try:
        epoch()
        epoch()
    finally:
        hook.remove()
    assert len(steps) == 12


def test_the_ways_are_timed_in_turn_and_the_first_round_is_not_counted(tiny):
    seconds = epochs.measure(["model=softmax", *tiny], 2)
    assert list(seconds) == ["book", "d2lrun", "pure"]
    assert all(len(values) == 2 and min(values) > 0 for values in seconds.values())


def test_d2lruns_first_step_is_timed_to_its_first_step(tiny, tmp_path):
    arguments, extra = startup.commands([*tiny, "train.checkpoint_every=1"])[startup.D2LRUN]
    startup.start(arguments, tmp_path, extra)
    (directory,) = tmp_path.glob("outputs/runs/fashion-mnist/mlp/*")
    assert (directory / "metrics.jsonl").read_bytes() == b""  # so training began
    assert list((directory / "checkpoints").glob("*")) == []  # and ended at the first pause, before anything was saved


def test_the_completion_that_is_timed_completes(tmp_path):
    arguments, extra = startup.commands([])["tab completion"]
    assert "model=lenet" in startup.start(arguments, tmp_path, extra).split()


def test_a_process_that_fails_ends_the_benchmark(tmp_path):
    with pytest.raises(SystemExit, match="ended with 3"):
        startup.start(["-c", "raise SystemExit(3)"], tmp_path, {})


def test_the_peak_is_the_childs_own(tmp_path):
    held = bytearray(300 << 20)
    script = "held = bytearray(100 << 20)"
    peak = startup.child_peak(["-c", script], tmp_path)
    assert 100 < peak < 200 < len(held) / 1e6


def test_a_row_shows_the_median_its_range_and_whether_the_bound_is_kept(capsys):
    table = bench.columns("an epoch of mlp")
    bench.add(table, "book / d2lrun", [8.0, 6.5, 9.25], low=7)
    bench.add(table, "d2lrun / pure", [1.2, 1.5, 1.1], high=1.15)
    Console(width=80).print(table)
    _, *rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows == ["book / d2lrun 8.00 6.50 - 9.25 at least 7", "d2lrun / pure 1.20 1.10 - 1.50 at most 1.15: missed"]


def test_the_machine_is_named_in_a_line():
    line = bench.machine()
    assert f"torch {torch.__version__}" in line and "\n" not in line
