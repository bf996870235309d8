"""A full disk, and places that cannot be written: said plainly, and nothing that was saved is lost."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
import torch

from d2lrun.disk import checkpoint

ROOM_FOR_SMALL_FILES = 100_000  # bytes: a checkpoint has 164,000


def test_a_disk_that_fills_up_keeps_the_checkpoint_before(room, train, resume, golden):
    failed = train(fault=f"at('d2lrun.runs.run:save', 2, lambda: full_disk({ROOM_FOR_SMALL_FILES}), 'before')")
    assert failed.code == 1
    message, hint = failed.err.splitlines()
    assert message == "error: disk full while saving step 10 to run/checkpoints: File too large"
    assert hint == "hint: the checkpoint before it is untouched: free disk space, then d2lrun resume run"
    assert room.newest_step() == 5
    assert room.result()["status"] == "failed"
    room.assert_tidy()
    assert ", step 5\n" in resume().out
    room.assert_same_bits(golden)


def test_a_disk_that_was_full_from_the_start(room, fresh, end, experiment, train, golden):
    limit = (ROOM_FOR_SMALL_FILES, resource.RLIM_INFINITY)
    process = fresh(*experiment, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    failed = end(process)
    assert failed.code == 1
    assert failed.err.startswith("error: disk full while saving step 5 to run/checkpoints: ")
    assert room.commits() == []
    room.assert_tidy()
    assert train().code == 0
    room.assert_same_bits(golden)


def test_a_disk_that_is_full_at_the_end_loses_nothing(room, train, resume, golden):
    failed = train(
        fault="at('d2lrun.runs.run:write_result', 1, lambda: full_disk(10_000), 'before')"
    )  # the weights: 51,200
    assert (failed.code, failed.err.count("\n")) == (1, 2)
    assert "File too large" in failed.err
    room.assert_tidy()
    assert resume().code == 0
    room.assert_same_bits(golden)


@pytest.mark.parametrize("words", [["run.dir=file"], ["run.dir=file/run"], ["run.root=file"], ["run.dir=/proc/run"]])
def test_a_place_that_cannot_be_written_is_refused_at_once(room, door, words):
    (room.path / "file").write_text("a file, not a folder")
    refused = door(*words, "run.dir=null") if "root" in words[0] else door(*words)
    assert refused.code == 2
    message, hint = refused.err.splitlines()
    assert message.startswith(f"error: cannot write to {words[0].partition('=')[2]}: ")
    assert hint == "hint: choose another place with run.dir=FOLDER or run.root=FOLDER"
    assert (room.path / "file").read_text() == "a file, not a folder"


def test_a_save_reaches_the_disk_in_an_order_that_a_power_cut_respects(tmp_path, monkeypatch):
    """A name never before its bytes, the JSON never before the checkpoint: SIGKILL cannot show this."""
    seen = []

    def fsync(descriptor, original=os.fsync):
        seen.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        original(descriptor)

    def replace(source, target, original=os.replace):
        seen.append(("name", source, target))
        original(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    checkpoint.save(tmp_path, {"weights": torch.ones(3)}, 5, {})
    for suffix in (".pt", ".json"):
        (_, written), (_, source, target), (_, folder) = seen[:3]
        del seen[:3]
        assert (written, folder) == (source, tmp_path)
        assert target == tmp_path / f"step-00000005{suffix}"
    assert seen == []
