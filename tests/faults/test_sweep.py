"""Sweeps killed at any moment, and two at once: nothing is done twice, and the table is that of an undisturbed one."""

from __future__ import annotations

import json
import random

import pytest

from tests.bits import timeless

STEP, STEPS = "d2lrun.training.fit:train_batch", 6 * 2 * 15  # 6 runs of 2 epochs; 460 of 512 images train
SWEPT = ("optimizer.lr=0.001,0.01", "seed=1,2,3", "train.epochs=2", "validation=holdout", "sweep.name=s")


class Sweeps:
    """A sweep in the test's room."""

    def __init__(self, forks, room, words):
        self.forks, self.room, self.words = forks, room, words
        self.folder = room.path / "outputs" / "sweeps" / "s"

    def __call__(self, *more, fault=""):
        return self.forks(self.room, ["-m", *self.words, *SWEPT, *more], fault)

    def table(self):
        return timeless(json.loads((self.folder / "sweep.json").read_text("utf-8")))

    def starts(self):
        """How often each run was begun or gone on with."""
        logs = [path.read_text("utf-8") for path in sorted(self.folder.glob("*/run.log"))]
        return [log.count(" parameters, cpu with 1 thread, in ") for log in logs]

    def assert_tidy(self):
        for path in self.folder.rglob("*.json"):
            json.loads(path.read_text("utf-8"))
        assert not list(self.folder.glob("*/**/*.tmp"))
        assert not list(self.folder.glob("*/.lock.holder"))


@pytest.fixture
def sweep(forks, room, experiment):
    sweep = Sweeps(forks, room, [word for word in experiment if not word.startswith("run.dir=")])
    yield sweep
    sweep.assert_tidy()


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory, experiment):
    """The table of a sweep that nothing happened to."""

    class Place:
        path = tmp_path_factory.mktemp("whole")

    sweep = Sweeps(forks, Place, [word for word in experiment if not word.startswith("run.dir=")])
    assert sweep().code == 0
    table = sweep.table()
    assert [job["status"] for job in table["jobs"]] == ["finished"] * 6
    assert sweep.starts() == [1] * 6
    return table


def test_killed_at_ten_moments_and_gone_on_with_each_time(sweep, whole):
    rng = random.Random(5)
    for kill in range(10):
        step, when = rng.randint(2, STEPS // 9), rng.choice(["before", "after"])
        ended = sweep(fault=f"at({STEP!r}, {step}, lambda: send('SIGKILL'), {when!r})")
        assert (ended.code, ended.err) == (-9, ""), kill
        assert {job["status"] for job in sweep.table()["jobs"]} >= {"pending"} or kill > 5
    assert sweep().code == 0
    assert sweep.table() == whole
    assert sum(sweep.starts()) <= 6 + 10  # no more than what was interrupted is begun again


@pytest.mark.parametrize("call", [1, 2, 4, 7, 8, 10, 20, 30])
def test_killed_amid_what_is_written(sweep, whole, call):
    ended = sweep(fault=f"at('os:replace', {call}, lambda: send('SIGKILL'), 'before')")
    assert ended.code == -9
    assert sweep().code == 0
    assert sweep.table() == whole


def test_a_finished_run_is_not_touched_by_a_kill_in_another(sweep, whole):
    assert sweep(fault=f"at({STEP!r}, 40, lambda: send('SIGKILL'))").code == -9
    (finished,) = [path.parent for path in sweep.folder.glob("*/result.json")]
    files = [path for path in finished.rglob("*") if path.is_file() and path.name != ".lock"]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    assert sweep().code == 0
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files} == before
    assert sweep.table() == whole


@pytest.mark.parametrize("size", [2, 4])
def test_several_at_once_share_the_runs(sweep, whole, size):
    ended = sweep(fault=f"crowd({size})")
    assert (ended.code, ended.err) == (0, "")
    assert sweep.table() == whole
    assert sweep.starts() == [1] * 6


ONE_DIES = "if not os.fork(): signal.alarm(0); at('d2lrun.training.fit:train_batch', 20, lambda: send('SIGKILL'))"


def test_what_a_process_held_that_was_killed_the_other_takes_over(sweep, whole):
    ended = sweep(fault=ONE_DIES)
    assert (ended.code, ended.err) == (0, "")
    assert sweep.table() == whole
    assert sorted(sweep.starts()) == [1, 1, 1, 1, 1, 2]


def test_two_at_once_try_a_failing_run_once_between_them(sweep):
    ended = sweep("optimizer.lr=0.001,1e30", fault="at('d2lrun.sweeps.grid:prepare', 1, lambda: crowd(2))")
    assert (ended.code, ended.err) == (3, "")
    assert [job["status"] for job in sweep.table()["jobs"]] == ["finished"] * 3 + ["diverged"] * 3
    assert sweep.starts() == [1] * 6


@pytest.mark.parametrize("name, code", [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_between_two_runs_is_obeyed(sweep, whole, name, code):
    ended = sweep(fault=f"at('d2lrun.runs.run:run', 2, lambda: send({name!r}))")
    assert ended.code == code
    assert ended.err.startswith("\nstopped, saved; continue with: d2lrun -m ")
    assert [job["status"] for job in sweep.table()["jobs"]].count("finished") == 2
    assert sweep().code == 0
    assert sweep.table() == whole
    assert sweep.starts() == [1] * 6


def test_a_full_disk_uses_up_no_trial_of_a_search(forks, room, experiment):
    words = [word for word in experiment if not word.startswith("run.dir=")]
    words += ["-m", "sweep=optuna", "optimizer.lr=interval(1e-3,1e-1)", "sweep.trials=3", "train.epochs=2"]
    words += ["validation=holdout", "sweep.pruner=none"]
    full = "at('d2lrun.sweeps.job:train_quietly', 2, lambda: full_disk(20000), 'before')"
    assert forks(room, [*words, "sweep.name=full"], full).code in (1, 3)
    assert forks(room, [*words, "sweep.name=full"]).code == 0
    assert forks(room, [*words, "sweep.name=free"]).code == 0
    full, free = (room.read(room.path / f"outputs/sweeps/{name}/sweep.json") for name in ("full", "free"))
    assert timeless(full["jobs"]) == timeless(free["jobs"])
    assert full["trials"]["finished"] == 3


def test_a_full_disk_is_named_and_the_same_command_goes_on(sweep, whole):
    ended = sweep(fault="at('d2lrun.sweeps.job:train_quietly', 2, lambda: full_disk(20000), 'before')")
    assert ended.code in (1, 3)
    assert "Traceback" not in ended.err
    assert sweep().code == 0
    assert sweep.table() == whole
