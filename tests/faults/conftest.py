"""The rig of the fault tests: a tiny experiment, real d2lrun processes, and what must hold after every fault.

A child of ``forks.py`` starts in milliseconds; ``fresh`` starts a whole new process where that is the point.
Every process works in the test's own folder ``room`` and trains in its folder ``run``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from d2lrun.disk.files import sha256
from tests.bits import same_bits, timeless

FORKS = Path(__file__).with_name("forks.py")


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory):
    """One thread, and none of the user's own data or settings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (FORKS.parents[2], FORKS.parent))))
        patch.setenv("D2LRUN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("D2LRUN_DATA", raising=False)
        yield


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """512 + 128 images that can be learned: noise, and a bright patch in another place for each class."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, count in (("train", 512), ("t10k", 128)):
        labels = rng.integers(10, size=count, dtype=np.uint8)
        images = rng.integers(64, size=(count, 28, 28), dtype=np.uint8)
        images[np.arange(count), 2 * labels] += 128
        for kind, array in (("images", images), ("labels", labels)):
            sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
            path = folder / f"{part}-{kind}-idx{array.ndim}-ubyte"
            path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())
    return folder


@pytest.fixture(scope="session")
def experiment(dataset) -> list[str]:
    """The words of the tiny experiment: 3 epochs of 16 steps, a checkpoint every 5."""
    return [
        *("model=mlp", "model.hidden=[16]", "model.dropout=[0.5]", "optimizer=adam", "device=cpu", "device.threads=1"),
        *("train.epochs=3", "train.batch_size=32", "train.checkpoint_every=5"),
        *("dataset.verify=false", f"dataset.dir={dataset}", "run.dir=run"),
    ]


class Room:
    """A test's folder, and what its run has written."""

    def __init__(self, path: Path):
        self.path, self.run = path, path / "run"

    def commits(self) -> list[Path]:
        """The JSON files of the checkpoints, newest first."""
        return sorted(self.run.glob("checkpoints/step-*.json"), reverse=True)

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint. All there are must hold what they promised when they were made."""
        for commit in self.commits():
            assert sha256(commit.with_suffix(".pt")) == self.read(commit)["sha256"]
            torch.load(commit.with_suffix(".pt"), weights_only=True)
        return self.read(self.commits()[0])["step"] if self.commits() else None

    def result(self) -> dict:
        return self.read(self.run / "result.json")

    def read(self, path: Path) -> dict:
        return json.loads(path.read_text("utf-8"))

    def bits(self) -> tuple[dict[str, torch.Tensor], list[dict]]:
        """What the run came to: its weights, and its metrics without the times."""
        rows = [json.loads(line) for line in (self.run / "metrics.jsonl").read_text("utf-8").splitlines()]
        return load_file(self.run / "model.safetensors"), timeless(rows)

    def assert_same_bits(self, other: Room) -> None:
        (weights, metrics), (wanted, rows) = self.bits(), other.bits()
        assert metrics == rows
        assert same_bits(weights, wanted)
        assert self.result()["status"] == "finished"

    def assert_tidy(self) -> None:
        """Nothing temporary or half is left, every JSON parses, every checkpoint can be loaded."""
        self.newest_step()
        for path in self.run.rglob("*.json"):
            self.read(path)
        assert not list(self.run.rglob("*.tmp"))
        assert not (self.run / ".lock.holder").exists()
        halves = {path.stem for path in self.run.glob("checkpoints/*.pt")} ^ {path.stem for path in self.commits()}
        assert not halves

    def snapshot(self) -> dict[str, tuple[bytes, int]]:
        """The content and the time of every file of the run; the lock is nobody's content."""
        files = [path for path in self.run.rglob("*") if path.is_file() and path.name != ".lock"]
        return {str(path.relative_to(self.run)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def room(tmp_path):
    """Where the processes of a test work. Whatever happens there, in the end it is tidy."""
    room = Room(tmp_path)
    yield room
    room.assert_tidy()


@dataclass
class Outcome:
    """How a process ended: its exit code (-9: killed by signal 9), and what it said."""

    code: int
    out: str
    err: str

    def __post_init__(self):
        assert "Traceback" not in self.err, self.err


class Forks:
    """The process of forks.py, which imports a project's d2lrun and computes with one thread."""

    def __init__(self, *options: str, project: Path = FORKS.parents[2]):
        command, paths = [sys.executable, str(FORKS), *options], os.pathsep.join(map(str, (project, FORKS.parent)))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        assert self.process.stdout.readline() == "ready\n", "forks.py has ended: its error is on stderr"

    def __call__(self, room: Room, words: list[str], fault: str = "", compose: bool = False) -> Outcome:
        """Fork ``d2lrun WORDS`` with a fault; ``compose`` WORDS beforehand, once for all children."""
        request = {"words": words, "cwd": str(room.path), "fault": fault, "compose": compose}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        code = int(self.process.stdout.readline())
        return Outcome(code, *((room.path / name).read_text("utf-8") for name in ("stdout", "stderr")))

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.communicate()


@pytest.fixture(scope="session")
def forks(environment):
    with Forks() as process:
        yield process


@pytest.fixture
def train(forks, room, experiment):
    """``train(WORD…, fault=…)``: the tiny experiment in the test's room, with more words and a fault."""
    return lambda *words, fault="": forks(room, [*experiment, *words], fault, compose=True)


@pytest.fixture
def resume(forks, room):
    """``resume(fault=…)``: d2lrun resume run."""
    return lambda fault="": forks(room, ["resume", "run"], fault)


@pytest.fixture(scope="session")
def doorkeeper(environment):
    with Forks("--without-torch") as process:
        yield process


@pytest.fixture
def door(doorkeeper, room):
    """``door(WORD…)``: a d2lrun that can do everything but import torch."""
    return lambda *words: doorkeeper(room, words)


@pytest.fixture
def fresh(room):
    """``fresh(WORD…)`` starts a whole new process; it does not outlive the test, nor do children of its own."""
    started = []

    def start(*words: str, python: tuple[str, ...] = ("-m", "d2lrun"), **options) -> subprocess.Popen:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
        command = [sys.executable, *python, *words]
        started.append(subprocess.Popen(command, cwd=room.path, start_new_session=True, **options))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)


@pytest.fixture
def end():
    """Wait for a fresh process, and say how it ended."""

    def wait(process: subprocess.Popen) -> Outcome:
        out, err = process.communicate(timeout=1800)
        return Outcome(process.returncode, out, err)

    return wait


@pytest.fixture(scope="session")
def golden(environment, tmp_path_factory, experiment) -> Room:
    """The run that nothing happened to, in a whole process of its own."""
    room = Room(tmp_path_factory.mktemp("golden"))
    command = [sys.executable, "-m", "d2lrun", *experiment]
    subprocess.run(command, cwd=room.path, check=True, capture_output=True)
    room.assert_tidy()
    return room


@pytest.fixture(scope="session")
def stopped_once(forks, tmp_path_factory, experiment) -> Room:
    room = Room(tmp_path_factory.mktemp("stopped"))
    forks(room, experiment, "at('d2lrun.training.fit:train_batch', 12, lambda: send('SIGTERM'))", compose=True)
    return room


@pytest.fixture
def stopped(room, stopped_once):
    """The room, in it a run that was stopped at step 12 and has the checkpoints 10 and 12."""
    shutil.copytree(stopped_once.run, room.run)
    assert [commit.stem for commit in room.commits()] == ["step-00000012", "step-00000010"]
    return room
