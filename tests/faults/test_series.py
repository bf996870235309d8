"""Faults of forecasts: killed at a step, and a file that changes meanwhile."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Room

STEP = "d2lrun.training.fit:train_batch"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """3 epochs of 6 steps of a GRU with dropout, a checkpoint every 4."""
    file = tmp_path_factory.mktemp("series") / "mine.csv"
    file.write_text("x\n" + "".join(f"{number * 7 % 13}\n" for number in range(130)), encoding="utf-8")
    return [
        *("model=gru", "model.hidden=8", "model.layers=2", "model.dropout=0.5", "dataset=series"),
        *(f"dataset.path=[{file}]", "validation=holdout", "train.epochs=3", "train.batch_size=16"),
        *("train.checkpoint_every=4", "train.sample_every=null", "device=cpu", "device.threads=1", "run.dir=run"),
    ]


@pytest.fixture(scope="module")
def whole(forks, words, tmp_path_factory):
    room = Room(tmp_path_factory.mktemp("whole"))
    assert forks(room, words, compose=True).code == 0
    return room


@pytest.mark.parametrize("step", [1, 5, 9, 18])
def test_a_killed_run_continues_to_the_same_bits(forks, room, resume, words, whole, step):
    assert forks(room, words, f"at({STEP!r}, {step}, lambda: send('SIGKILL'))", compose=True).code == -9
    assert resume().code == 0
    room.assert_same_bits(whole)
    assert room.result()["table"] == whole.result()["table"]


def test_a_file_that_got_a_row_is_not_continued(forks, room, words, tmp_path):
    file = tmp_path / "own.csv"
    file.write_text("x\n" + "".join(f"{number}\n" for number in range(130)), encoding="utf-8")
    own = [word if not word.startswith("dataset.path") else f"dataset.path=[{file}]" for word in words]
    assert forks(room, own, f"at({STEP!r}, 9, lambda: send('SIGTERM'))", compose=True).code == 143
    file.write_text(file.read_text("utf-8") + "130\n", encoding="utf-8")
    refused = forks(room, ["resume", "run"])
    assert refused.code == 2 and "holds a run on other data" in refused.err and "own.csv" in refused.err
