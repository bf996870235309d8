"""Checkpoints that rot on the disk: the older one is used and said, and nothing ever starts over silently."""

from __future__ import annotations

import json
import shutil

import pytest


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def empty(path):
    path.write_bytes(b"")


def garble(path):
    path.write_bytes(b"\x00\xff garbage" * 100)


def remove(path):
    path.unlink()


def swap(path):
    """The sound bytes of another checkpoint."""
    path.write_bytes(path.with_name(f"step-00000010{path.suffix}").read_bytes())


def write(text):
    def change(path):
        path.write_text(text)

    change.__name__ = text
    return change


FAULTS = [
    *((".pt", change) for change in (flip, cut, empty, garble, remove, swap)),
    *((".json", change) for change in (cut, empty, garble, swap)),
    *((".json", write(text)) for text in ("null", "[]", "3", "{}", '{"size": "x", "sha256": 1}', "[" * 100_000)),
]
NAMES = [f"{change.__name__[:20]} {suffix[1:]}" for suffix, change in FAULTS]


@pytest.mark.parametrize(("suffix", "change"), FAULTS, ids=NAMES)
def test_a_rotten_checkpoint_is_set_aside_and_the_older_one_used(stopped, resume, golden, suffix, change):
    path = stopped.run / "checkpoints" / f"step-00000012{suffix}"
    change(path)
    rotten = path.read_bytes() if path.exists() else None
    outcome = resume()
    assert (outcome.code, outcome.err) == (0, "")
    _, said, resuming = outcome.out.splitlines()[:3]
    assert said.startswith("checkpoint step-00000012 is damaged: ")
    assert said.endswith("; trying an older one")
    assert resuming == "resuming at epoch 1, step 10"
    stopped.assert_same_bits(golden)
    assert rotten is None or path.with_name(f"{path.name}.bad").read_bytes() == rotten


def test_bytes_without_their_json_do_not_count(stopped, resume, golden):
    (stopped.run / "checkpoints" / "step-00000012.json").unlink()
    said = resume().out.splitlines()
    assert said[1:3] == ["checkpoint step-00000012 has no JSON: ignored", "resuming at epoch 1, step 10"]
    stopped.assert_same_bits(golden)


@pytest.mark.parametrize(
    ("suffix", "change"), [(s, change) for s in (".pt", ".json") for change in (cut, empty, remove)]
)
def test_with_no_sound_checkpoint_nothing_starts_over(stopped, resume, train, suffix, change):
    for path in stopped.run.glob(f"checkpoints/*{suffix}"):
        change(path)
    for again in (resume, resume, train):
        refused = again()
        assert refused.code == 2
        assert refused.err.startswith("error: no sound checkpoint is left in run/checkpoints\nhint: ")
        assert "epoch" not in refused.out
    shutil.rmtree(stopped.run / "checkpoints")  # halves, beyond tidying


def test_a_damaged_config_is_refused(stopped, door):
    for content in (b"", b"\xff\xfe", b"a: [", b"- 1", b"model: {name: mlp}", b"[" * 10_000):
        (stopped.run / "config.yaml").write_bytes(content)
        refused = door("resume", "run")
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith("error: ")
        assert "run/config.yaml" in refused.err


def test_a_damaged_result_is_not_believed(room, train, golden):
    train()
    (room.run / "result.json").write_text('{"status": "finis')
    assert train().code == 0
    room.assert_same_bits(golden)


@pytest.mark.parametrize("tail", [b"", b'{"epoch": 2, "st', b'{"epoch": 9, "step": 999}\n'])
def test_metrics_are_those_of_the_checkpoint(stopped, resume, golden, tail):
    path = stopped.run / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + tail)
    assert resume().code == 0
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]
    stopped.assert_same_bits(golden)
