"""SIGINT and SIGTERM: what was done is saved, the user is told how to go on, and going on gives the same bits."""

from __future__ import annotations

import signal

import pytest

STEP = "d2lrun.training.fit:train_batch"
SECOND_OF_EVALUATION = "'d2lrun.tasks.classification.preparation:scale', 16 + 2"  # an epoch trains on 16 batches before
SIGNALS = {"SIGINT": 130, "SIGTERM": 143}
GO_ON = "continue with: d2lrun resume run"


@pytest.mark.parametrize(("name", "code"), SIGNALS.items())
def test_a_signal_after_a_step_saves_that_very_step(room, train, resume, golden, name, code):
    stopped = train(fault=f"at({STEP!r}, 8, lambda: send({name!r}))")
    assert (stopped.code, stopped.err) == (code, f"\nstopped at step 8, saved; {GO_ON}\n")
    assert room.newest_step() == 8
    assert room.result()["status"] == "stopped"
    assert "resuming at epoch 1, step 8\n" in resume().out
    room.assert_same_bits(golden)


def test_a_signal_in_an_evaluation_stops_it(room, train, resume, golden):
    stopped = train(fault=f"at({SECOND_OF_EVALUATION}, lambda: send('SIGINT'))")
    assert (stopped.code, stopped.err) == (130, f"\nstopped at step 16, saved; {GO_ON}\n")
    assert resume().code == 0
    room.assert_same_bits(golden)


def test_a_checkpoint_is_not_replaced_by_another_of_its_step(room, train, resume, golden):
    """The bytes of step 16 were saved in the evaluation; its end is saved under another step or not at all."""
    only = "train.checkpoint_every=null"
    train(only, fault=f"at({SECOND_OF_EVALUATION}, lambda: send('SIGINT'))")
    before = {path.name: path.read_bytes() for path in (room.run / "checkpoints").iterdir()}
    assert sorted(before) == ["step-00000016.json", "step-00000016.pt"]
    assert resume(fault=f"at({STEP!r}, 1, lambda: send('SIGKILL'))").code == -9
    assert {path.name: path.read_bytes() for path in (room.run / "checkpoints").iterdir()} == before
    assert resume().code == 0
    room.assert_same_bits(golden)


def test_a_checkpoint_due_at_an_epochs_end_is_written_once(room, train, golden):
    counted = train("train.checkpoint_every=16", fault="at('torch:save', 4, lambda: send('SIGKILL'), 'before')")
    assert counted.code == 0
    room.assert_same_bits(golden)


def test_a_second_signal_does_not_wait(room, train, resume, golden):
    stopped = train(fault=f"at({STEP!r}, 8, lambda: (send('SIGINT'), send('SIGINT')))")
    assert (stopped.code, stopped.err) == (130, f"\nstopped at once; what was saved before is untouched; {GO_ON}\n")
    assert room.newest_step() == 5
    assert resume().code == 0
    room.assert_same_bits(golden)


def test_a_second_signal_amid_a_save_leaves_nothing_half(room, train, resume, golden):
    saving = "at('os:fsync', 2, lambda: (send('SIGTERM'), send('SIGTERM')))"
    stopped = train(fault=f"at('d2lrun.disk.checkpoint:prune', 2, lambda: {saving})")  # the save of step 10
    assert stopped.code == 143
    assert room.newest_step() == 5
    assert not list(room.run.rglob("*.tmp"))
    assert resume().code == 0
    room.assert_same_bits(golden)


@pytest.mark.parametrize("where", ["d2lrun.datasets:load", "d2lrun.models:build", "d2lrun.runs.run:draw"])
def test_a_signal_outside_the_training_loop_loses_nothing(room, train, golden, where):
    stopped = train(fault=f"at({where!r}, 1, lambda: send('SIGINT'))")
    assert (stopped.code, stopped.err) == (130, f"\nstopped; {GO_ON}\n")
    assert train().code == 0
    room.assert_same_bits(golden)


START = "import sys; from forks import at_import, send; at_import(sys.argv.pop(1), lambda: send('SIGINT'));"
MAIN = "from d2lrun.cli.main import main; main()"


@pytest.mark.parametrize("module", ["hydra", "torch._tensor"])
def test_a_signal_while_importing_is_obeyed_quietly(room, fresh, end, experiment, module):
    stopped = end(fresh(module, *experiment, python=("-c", START + MAIN)))
    assert stopped.code == 130  # the first line of the run may have been said before the import is over
    assert stopped.err in ("\nstopped\n", f"\nstopped; {GO_ON}\n")


def test_a_live_run_is_named_to_others_and_stops_soon(room, fresh, end, experiment, train):
    run = fresh(*experiment, "train.epochs=100000")
    assert run.stdout.readline().startswith("mlp on ")
    assert run.stdout.readline().startswith("epoch")
    refused = train("train.epochs=100000")
    assert refused.code == 2
    assert f"run is in use by process {run.pid} on " in refused.err
    run.send_signal(signal.SIGINT)
    stopped = end(run)
    assert stopped.code == 130
    assert f"stopped at step {room.newest_step()}, saved; {GO_ON}\n" in stopped.err


NOWHERE = "from d2lrun.datasets.fashion_mnist import FILES; object.__setattr__(FILES, 'system', None);"


def test_a_signal_in_a_download_is_obeyed(room, fresh, end, mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    running = []

    def half(reply, n):
        reply.reply(bytes(1000), length=1 << 20)
        running[0].send_signal(signal.SIGINT)
        reply.server.closing.wait(1800)

    mirror.pages["/train-images-idx3-ubyte.gz"] = half
    running.append(fresh("data", f"dataset.mirrors=[{mirror.url}]", python=("-c", NOWHERE + MAIN)))
    stopped = end(running[0])
    assert (stopped.code, stopped.err) == (130, "\nstopped\n")
    assert [path.name for path in (tmp_path / "cache" / "fashion-mnist").iterdir()] == [".lock"]
