"""SIGKILL anywhere, then continue: the bits are those of a run that nothing happened to."""

from __future__ import annotations

import copy
import shutil

import pytest

STEP, SAVE = "d2lrun.training.fit:train_batch", "d2lrun.runs.run:save"
BATCH = "d2lrun.tasks.classification.preparation:scale"  # each epoch 16 batches of training, then 4 of evaluation
MOMENTS = {  # function, which call of it, before or after; the step of the newest checkpoint there is then
    "before the first step": (STEP, 1, "before", None),
    "before the first checkpoint": (STEP, 4, "after", None),
    "in the first epoch": (STEP, 9, "after", 5),
    "in the first evaluation": (BATCH, 16 + 2, "before", 15),
    "between an epoch and its checkpoint": (SAVE, 4, "before", 15),
    "behind the checkpoint of an epoch": (SAVE, 4, "after", 16),
    "in the last epoch": (STEP, 43, "after", 40),
    "in the last evaluation": (BATCH, 2 * 20 + 16 + 3, "before", 45),
    "before the weights are written": ("d2lrun.runs.run:write_result", 1, "before", 48),
    "before the result is written": ("d2lrun.runs.run:draw", 1, "after", 48),
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
    """A run continues from the disk before every open, write, fsync, replace and unlink, and amid every write."""
    small = ("train.epochs=2", "train.limit_batches=2", "train.checkpoint_every=3")  # three checkpoints, two are kept
    album = room.path / "album"
    album.mkdir()
    assert train(*small, fault=f"photograph('run', {str(album)!r})").code == 0
    golden = copy.copy(room)
    golden.run = room.run.rename(room.path / "golden")
    states = sorted(album.iterdir())
    for crashed in states:
        crashed.rename(room.run)
        step = room.newest_step()
        continued = train(*small)
        assert (continued.code, continued.err) == (0, ""), crashed
        assert step is None or f", step {step}\n" in continued.out or "already finished" in continued.out, crashed
        room.assert_same_bits(golden)
        room.assert_tidy()
        shutil.rmtree(room.run)
    assert len(states) > 50  # so many there are


EVERY_PRECISION = "from d2lrun.training import devices; devices.precisions = lambda device: ['fp32', 'bf16', 'fp16'];"
SETTINGS = {
    "bf16": ("device.precision=bf16",),
    "fp16": ("device.precision=fp16",),
    "contiguous": ("device.channels_last=false", "model=lenet-bn", "~model.hidden", "~model.dropout"),
    "deterministic": ("device.deterministic=true",),
    "shared": ("model.hidden=[16,16,16]", "model.share=true"),
    "frozen": ("model.freeze=['1.*']",),
    "resized": ("dataset.resize=20", "dataset.channels=3"),
}


@pytest.mark.parametrize("words", SETTINGS.values(), ids=SETTINGS)
def test_whatever_the_settings_a_killed_run_continues_to_the_same_bits(room, train, forks, words):
    words = (*words, "train.epochs=2", "train.limit_batches=8")
    assert train(*words, fault=EVERY_PRECISION).code == 0
    golden = copy.copy(room)
    golden.run = room.run.rename(room.path / "golden")
    assert train(*words, fault=f"{EVERY_PRECISION} at({STEP!r}, 12, lambda: send('SIGKILL'))").code == -9
    assert room.newest_step() == 10
    continued = forks(room, ["resume", "run"], EVERY_PRECISION)
    assert (continued.code, continued.err) == (0, "")
    assert "resuming at epoch 2, step 10\n" in continued.out
    room.assert_same_bits(golden)


def test_a_run_that_began_with_weights_continues_when_they_are_gone(room, train, resume, golden):
    weights = room.path / "weights.safetensors"
    words = (f"model.weights={weights}", "train.epochs=2")
    shutil.copy(golden.run / "model.safetensors", weights)
    assert train(*words).code == 0
    whole = copy.copy(room)
    whole.run = room.run.rename(room.path / "whole")
    assert train(*words, fault=f"at({STEP!r}, 12, lambda: send('SIGKILL'))").code == -9
    weights.unlink()
    continued = resume()
    assert (continued.code, continued.err) == (0, "")
    assert "weights of" not in continued.out
    room.assert_same_bits(whole)


def test_a_run_whose_weights_are_gone_before_its_first_checkpoint_is_refused(room, train, resume, golden):
    weights = room.path / "weights.safetensors"
    shutil.copy(golden.run / "model.safetensors", weights)
    assert train(f"model.weights={weights}", fault=f"at({STEP!r}, 2, lambda: send('SIGKILL'))").code == -9
    weights.unlink()
    refused = resume()
    assert (refused.code, refused.err.splitlines()[0]) == (2, f"error: {weights}: no such file")
    assert room.newest_step() is None
