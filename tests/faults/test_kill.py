"""SIGKILL anywhere, then continue: the bits are those of a run that nothing happened to."""

from __future__ import annotations

import copy
import itertools
import shutil

import pytest

STEP, EVALUATION, SAVE = "d2lrun.fit:train_batch", "d2lrun.evaluate:scale", "d2lrun.run:save"
MOMENTS = {  # function, which call of it, before or after; the step of the newest checkpoint there is then
    "before the first step": (STEP, 1, "before", None),
    "before the first checkpoint": (STEP, 4, "after", None),
    "in the first epoch": (STEP, 9, "after", 5),
    "in the first evaluation": (EVALUATION, 2, "before", 15),
    "between an epoch and its checkpoint": (SAVE, 4, "before", 15),
    "behind the checkpoint of an epoch": (SAVE, 4, "after", 16),
    "in the last epoch": (STEP, 43, "after", 40),
    "in the last evaluation": (EVALUATION, 11, "before", 45),
    "before the weights are written": ("d2lrun.run:finish", 1, "before", 48),
    "before the result is written": ("d2lrun.run:draw", 1, "after", 48),
}


@pytest.mark.parametrize(("where", "call", "when", "step"), MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("again", ["resume", "train"])
def test_a_killed_run_continues_to_the_same_bits(request, room, train, golden, again, where, call, when, step):
    assert train(fault=f"at({where!r}, {call}, lambda: send('SIGKILL'), {when!r})").code == -9
    assert room.newest_step() == step
    assert not (room.run / "result.json").exists()
    continued = request.getfixturevalue(again)()
    assert (continued.code, continued.err) == (0, "")
    assert ("resuming" in continued.out) == (step is not None)
    assert step is None or f", step {step}\n" in continued.out
    room.assert_same_bits(golden)


def test_every_crash_point_of_a_run_is_survived(room, train):
    """Killed before every open, write, fsync, replace and unlink, and amid every write, until a run survives."""
    small = ("train.epochs=2", "train.limit_batches=4", "train.checkpoint_every=3")
    assert train(*small).code == 0
    golden = copy.copy(room)
    golden.run = room.run.rename(room.path / "golden")
    for event in itertools.count(1):
        killed = train(*small, fault=f"crash({event})")
        if killed.code == 0:
            break
        assert killed.code == -9, killed.err
        step = room.newest_step()
        continued = train(*small)
        assert (continued.code, continued.err) == (0, ""), event
        assert step is None or f", step {step}\n" in continued.out or "already finished" in continued.out, event
        room.assert_same_bits(golden)
        room.assert_tidy()
        shutil.rmtree(room.run)
    assert event > 90  # so many there are
