"""State <-> disk in one process; what kills and full disks do to it is in tests/faults/."""

from __future__ import annotations

import json

import pytest
import torch

from d2lrun.disk import checkpoint
from d2lrun.disk.checkpoint import load_newest, save
from d2lrun.disk.files import sha256
from d2lrun.errors import Refused

FACTS = {"epoch": 1, "config_hash": "abc"}


def state(step):
    return {"step": step, "weights": torch.full((3,), float(step)), "records": [{"loss": 0.5}], "best": None}


class Reader:
    """Takes what ``load_newest`` hands over and what it says."""

    def __init__(self, directory, refuse=()):
        self.state, self.said, self.refuse = None, [], refuse
        self.step = load_newest(directory, FACTS["config_hash"], self.accept, self.said.append)

    def accept(self, state):
        if state["step"] in self.refuse:
            raise KeyError("model")
        self.state = state


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of the steps 5 and 10."""
    for step in (5, 10):
        save(tmp_path, state(step), step, FACTS)
    return tmp_path


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_nothing_saved_is_nothing_loaded(tmp_path):
    for directory in (tmp_path, tmp_path / "nowhere"):
        reader = Reader(directory)
        assert (reader.step, reader.state, reader.said) == (None, None, [])


def test_the_round_trip(saved):
    reader = Reader(saved)
    assert (reader.step, reader.said) == (10, [])
    assert torch.equal(reader.state.pop("weights"), torch.full((3,), 10.0))
    assert reader.state == {"step": 10, "records": [{"loss": 0.5}], "best": None}


def test_the_json_describes_the_bytes(saved):
    facts = json.loads((saved / "step-00000010.json").read_text(encoding="utf-8"))
    content = (saved / "step-00000010.pt").read_bytes()
    assert facts == {"step": 10, "size": len(content), "sha256": sha256(content), **FACTS}


def test_two_are_kept_the_newest_first(saved):
    for step in (100, 99_999_999):
        save(saved, state(step), step, FACTS)
    assert names(saved) == ["step-00000100.json", "step-00000100.pt", "step-99999999.json", "step-99999999.pt"]
    assert Reader(saved).step == 99_999_999


def test_bytes_without_their_json_do_not_count(saved):
    (saved / "step-00000010.json").unlink()
    assert Reader(saved).step == 5


def test_a_checkpoint_of_another_configuration_does_not_count(saved):
    save(saved, state(15), 15, FACTS | {"config_hash": "another"})
    reader = Reader(saved)
    assert (reader.step, reader.said[0].partition(":")[2]) == (
        10,
        " it was saved by a run of another configuration; trying an older one",
    )


DAMAGES = {
    "a flipped bit": lambda pt, js: pt.write_bytes(bytes([pt.read_bytes()[0] ^ 1]) + pt.read_bytes()[1:]),
    "cut short": lambda pt, js: pt.write_bytes(pt.read_bytes()[:-1]),
    "empty": lambda pt, js: pt.write_bytes(b""),
    "bytes gone": lambda pt, js: pt.unlink(),
    "json cut short": lambda pt, js: js.write_bytes(js.read_bytes()[:-20]),
    "json empty": lambda pt, js: js.write_bytes(b""),
    "json is no object": lambda pt, js: js.write_text("[1]"),
    "json without a sum": lambda pt, js: js.write_text("{}"),
    "json is no text": lambda pt, js: js.write_bytes(b"\xff\xfe\x00"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_is_said_kept_aside_and_passed_over(saved, damage):
    DAMAGES[damage](saved / "step-00000010.pt", saved / "step-00000010.json")
    reader = Reader(saved)
    assert (reader.step, reader.state["step"]) == (5, 5)
    assert len(reader.said) == 1
    assert reader.said[0].startswith("checkpoint step-00000010 is damaged: ")
    assert "step-00000010.json.bad" in names(saved)
    assert Reader(saved).said == []


def test_a_state_that_does_not_fit_is_passed_over(saved):
    reader = Reader(saved, refuse=[10])
    assert (reader.step, len(reader.said)) == (5, 1)


@pytest.mark.parametrize("again", [False, True])
def test_with_none_that_is_sound_it_never_starts_over(saved, again):
    for path in saved.glob("*.pt"):
        path.write_bytes(b"garbage")
    for _ in range(1 + again):
        with pytest.raises(Refused, match="no sound checkpoint is left"):
            Reader(saved)


class Sentinel:
    """Unpickled as code, it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_is_never_run(tmp_path):
    target = tmp_path / "step-00000005.pt"
    torch.save({"step": 5, "x": Sentinel(tmp_path / "sentinel")}, target)
    content = target.read_bytes()
    facts = {"step": 5, "size": len(content), "sha256": sha256(content)}
    target.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(Refused):
        Reader(tmp_path)
    assert not (tmp_path / "sentinel").exists()


def test_a_tensor_alone_is_no_state(tmp_path):
    save(tmp_path, torch.ones(3), 5, FACTS)
    with pytest.raises(Refused):
        Reader(tmp_path)


def test_the_same_step_again_changes_nothing(saved):
    before = (saved / "step-00000010.pt").read_bytes()
    save(saved, state(11), 10, FACTS)
    assert (saved / "step-00000010.pt").read_bytes() == before


def test_so_many_are_kept():
    assert checkpoint.KEEP == 2
