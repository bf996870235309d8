"""The same command again, and many at once: a finished run is left alone, and no two share a directory."""

from __future__ import annotations

import json

import pytest


@pytest.mark.parametrize("again", ["resume", "train"])
def test_a_finished_run_is_left_alone(request, room, train, golden, again):
    train()
    before = room.snapshot()
    outcome = request.getfixturevalue(again)()
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("already finished: run\n")
    assert room.snapshot() == before
    room.assert_same_bits(golden)


@pytest.mark.parametrize("state", ["finished", "killed"])
def test_a_directory_with_another_config_is_refused(room, train, golden, state):
    train(fault="" if state == "finished" else "at('d2lrun.training.fit:train_batch', 12, lambda: send('SIGKILL'))")
    (room.run / ".lock.holder").unlink(missing_ok=True)
    before = room.snapshot()
    refused = train("optimizer.lr=0.5", "model.hidden=[16,8]")
    assert refused.code == 2
    assert refused.err.splitlines()[:3] == [
        "error: run holds a run with another configuration",
        "  model.hidden=[16] there, model.hidden=[16, 8] now",
        "  optimizer.lr=0.001 there, optimizer.lr=0.5 now",
    ]
    assert room.snapshot() == before
    assert train().code == 0
    room.assert_same_bits(golden)


def test_a_directory_in_which_nothing_was_trained_is_free(room, train, golden):
    assert train("device=cuda", "seed=7").code == 2
    assert train().code == 0
    room.assert_same_bits(golden)


def test_somebody_elses_directory_is_refused(room, train):
    room.run.mkdir()
    (room.run / "thesis.tex").write_text("years of work")
    refused = train()
    assert refused.code == 2
    assert refused.err.startswith("error: run is not empty and not a run's directory: it holds thesis.tex\n")
    assert [path.name for path in room.run.iterdir()] == ["thesis.tex"]


def test_ten_at_once_train_in_ten_directories(room, train, dataset):
    outcome = train("run.dir=null", "run.root=out", "train.epochs=1", fault="crowd(10)")
    assert (outcome.code, outcome.err) == (0, "")
    runs = list((room.path / "out").glob(f"runs/{dataset.name}/mlp/*/result.json"))
    assert len(runs) == 10
    assert {json.loads(path.read_text("utf-8"))["status"] for path in runs} == {"finished"}


def test_of_ten_at_once_in_one_directory_one_trains(room, train, golden):
    outcome = train(fault="crowd(10)")
    assert outcome.out.count("epoch 3/3") == 1
    refused, late = outcome.err.count("error: run is in use by "), outcome.out.count("already finished: run\n")
    assert refused + late == 9
    assert outcome.code == (2 if refused else 0)
    room.assert_same_bits(golden)
