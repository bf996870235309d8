"""How many threads compute, and how they wait for each other."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.compose import compose
from d2lrun.disk.rundir import RunDirectory
from d2lrun.training import devices, threads

LIBRARY = threads.libgomp()
needs_libgomp = pytest.mark.skipif(LIBRARY is None, reason="this torch does not bring libgomp")


class Switch:
    """Records what is asked of it."""

    def __init__(self):
        self.asked: list[str] = []

    def begin(self, count: int) -> None:
        self.asked.append("begin")

    def end(self) -> None:
        self.asked.append("end")


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 256))
def test_more_work_never_gets_fewer_threads(parameters, units, most):
    few, many = (threads.enough(parameters, count, most) for count in (units, 2 * units))
    assert few in (1, most) and few <= many


@pytest.mark.parametrize("name", threads.WAITING)
def test_the_users_way_of_waiting_stays(name):
    environ = {name: "active"}
    threads.prepare_waiting(environ)
    assert environ == {name: "active"}
    assert threads.of_user(environ)


@needs_libgomp
def test_a_child_process_does_not_take_ours_for_the_users():
    environ: dict[str, str] = {}
    threads.prepare_waiting(environ)
    assert sorted(environ) == sorted(threads.WAITING)
    assert not threads.of_user(environ)


def watched(shares: list[float | None], count: int = 2) -> list[str]:
    """What ``watch`` asks for if threads wait for these shares of their time, one after the other."""
    left, switch = list(shares), Switch()
    threads.watch(lambda: left.pop(0), lambda: count, switch, lambda: not left)
    return switch.asked


BUSY, FREE = (st.floats(low, high, exclude_min=True, exclude_max=True) for low, high in ((0.15, 1.0), (0.0, 0.05)))


@given(st.lists(BUSY, min_size=1), st.lists(FREE, min_size=1), st.lists(st.none() | st.floats(0.05, 0.15)))
def test_threads_sleep_from_a_busy_time_to_a_free_one(busy, free, between):
    assert watched(between) == watched([*between, *free, *between]) == []
    assert watched([*free, *busy, *between, *busy]) == ["begin", "end"]  # which ends with the watching
    assert watched([*busy, *between, *free, *between, *free]) == ["begin", "end"]
    assert watched([*busy, *free, *busy, *free]) == ["begin", "end"] * 2


def test_one_thread_waits_for_nobody():
    assert watched([1.0, 1.0], count=1) == []


def test_usage_is_that_since_the_last_answer(monkeypatch):
    found = iter([(1.0, 5.0), (4.0, 6.0), (4.01, 6.01), (4.5, 6.5)])
    usage = threads.Usage(lambda: next(found))
    assert [usage.share() for _ in range(3)] == [0.25, None, 0.5]


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux counts it")
def test_a_process_that_computes_is_seen():
    before, _ = threads.times()
    assert sum(range(3_000_000)) and threads.times()[0] > before


def sleeps() -> int:
    """How often the threads of this process have gone to sleep."""
    lines = [line for path in Path("/proc/self/task").glob("*/status") for line in path.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@needs_libgomp
def test_asleep_threads_compute_the_same_bits(monkeypatch):
    sleep, data = threads.Sleep(LIBRARY), torch.randn(400, 400, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        awake = data @ data
        sleep.begin(2)
        started = sleeps()
        asleep = [data @ data for _ in range(50)]
        took = sleeps() - started
        sleep.end()
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(awake, each) for each in asleep)
    assert took >= 25  # without begin: a handful


@needs_libgomp
def test_the_idle_team_ends_with_its_sleep():
    sleep, before = threads.Sleep(LIBRARY), threading.enumerate()  # the team of another test may be about to end
    sleep.begin(2)
    [held] = [each for each in threading.enumerate() if each.name == "d2lrun-sleep" and each not in before]
    sleep.end()
    held.join(1800)
    assert not held.is_alive()


@pytest.mark.parametrize("model, one", [("softmax", True), ("mlp", False)])
def test_a_small_step_has_one_thread(model, one, monkeypatch, stripes):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(devices, "THREADS", 3)
    config = compose([f"model={model}"])
    network = torch.nn.Linear(784, 10) if one else torch.nn.Linear(784, 256)
    before = torch.get_num_threads()
    try:
        devices.share(config.device, network, config.train.batch_size)
        assert torch.get_num_threads() == (1 if one else 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("wanted, environment", [(2, {}), (None, {"OMP_NUM_THREADS": "2"})])
def test_the_users_number_of_threads_stays(wanted, environment, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    config = compose(["device.threads=null" if wanted is None else f"device.threads={wanted}"])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: pytest.fail(f"set to {count}"))
    devices.share(config.device, torch.nn.Linear(1, 1), 1)


@pytest.mark.parametrize("began, set_to", [(1, 1), (10**6, 5), (None, 5)])
def test_a_run_goes_on_with_the_threads_it_began_with(began, set_to, monkeypatch):
    counts: list[int] = []
    monkeypatch.setattr(devices, "THREADS", 5)
    monkeypatch.setattr(torch, "set_num_threads", counts.append)
    devices.prepare(compose(["device=cpu"]).device, began)
    assert counts == [set_to]


@pytest.mark.parametrize("found", [{"threads": 3}, {"threads": "3"}, {"threads": True}, {"threads": -1}, {}, None])
def test_threads_are_read_from_the_newest_file_that_tells(found, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    if found is not None:
        (tmp_path / "checkpoints" / "step-00000002.json").write_text(json.dumps(found), "utf-8")
    (tmp_path / "result.json").write_text(json.dumps({"threads": 7}), "utf-8")
    assert RunDirectory(tmp_path).threads() == (3 if found == {"threads": 3} else 7)


def test_cores_are_those_of_this_process():
    assert 1 <= threads.cores() <= os.cpu_count()


@pytest.mark.parametrize(("counted", "cores"), [(5, 5), (None, 1)])
def test_cores_are_those_of_the_machine_on_systems_that_give_a_process_no_own(monkeypatch, counted, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: counted)
    assert threads.cores() == cores


@pytest.mark.skipif(threads.libgomp() is None or threads.cores() < 2, reason="other threads wait in other ways")
def test_the_thread_that_watches_ends_with_the_run(monkeypatch):
    monkeypatch.setattr(threads, "of_user", lambda: False)
    threads.release()
    assert threads.adapt() and threads.adapt()
    watching = [thread for thread in threading.enumerate() if thread.name == "d2lrun-threads"]
    assert len(watching) == 1
    threads.release()
    assert not watching[0].is_alive()
