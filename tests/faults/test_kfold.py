"""K folds killed at any moment: continued, they come to what an undisturbed run comes to."""

from __future__ import annotations

import json
import random

import pytest

from tests.bits import timeless

STEP, STEPS = "d2lrun.training.fit:train_batch", 3 * 2 * 11 + 2 * 16  # of 3 folds and the refit, 2 epochs each
FOLDED = ("validation=kfold", "validation.k=3", "validation.refit=true", "train.epochs=2", "run.pictures=false")


def came_to(run):
    """The result, and the weights of every fold."""
    weights = {path.parent.name: path.read_bytes() for path in run.glob("*/model.safetensors")}
    return timeless(json.loads((run / "result.json").read_text("utf-8"))), weights


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory, experiment):
    class Place:
        path = tmp_path_factory.mktemp("whole")

    assert forks(Place, [*experiment, *FOLDED], "", compose=True).code == 0
    result, weights = came_to(Place.path / "run")
    assert result["status"] == "finished"
    assert weights.keys() == {"fold-0", "fold-1", "fold-2", "refit"}
    return result, weights


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_step_again_and_again(room, train, whole, seed):
    rng, kills = random.Random(seed), 0
    while True:
        step, when = rng.randint(1, STEPS // 2), rng.choice(["before", "after"])
        ended = train(*FOLDED, fault=f"at({STEP!r}, {step}, lambda: send('SIGKILL'), {when!r})")
        if ended.code == 0:
            break
        assert (ended.code, ended.err) == (-9, "")
        kills += 1
        assert kills < 60
    assert kills > 0
    assert came_to(room.run) == whole


@pytest.mark.parametrize("call", range(1, 34, 3))
def test_killed_amid_what_is_written(room, train, resume, whole, call):
    """Before the n-th file that is put in its place."""
    ended = train(*FOLDED, fault=f"at('os:replace', {call}, lambda: send('SIGKILL'), 'before')")
    assert ended.code == -9
    assert (resume().code if room.run.joinpath("config.yaml").exists() else train(*FOLDED).code) == 0
    assert came_to(room.run) == whole


def test_ten_at_once_one_trains(room, train, whole):
    ended = train(*FOLDED, fault="crowd(10)")
    assert ended.out.count("refit: train loss") == 1
    assert ended.code in (0, 2)
    assert came_to(room.run) == whole
