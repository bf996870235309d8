"""How many threads compute on the CPU, and how they wait for each other.

torch's threads share the work of a layer and wait for each other at its end, dozens of times in a step. A thread that
spins while it waits continues at once, and a step takes as little as half the time. But if another process needs the
core, the spinning thread blocks the thread that it waits for, and a step takes many times as long. So the threads spin
if cores are free, and sleep if they have to wait for a core. The results are the same to the bit.

The number of threads may change the last bits of a result. So it depends only on the run and on the machine, not on
the present load of the machine.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import threading
from collections.abc import Callable, MutableMapping
from functools import partial
from pathlib import Path

SPIN = 300_000  # loop turns, about 3 ms, before a waiting thread sleeps: the default of libgomp
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
LITTLE = 4_000_000  # multiply-adds: sharing a smaller step costs more than it saves
TICK = 0.25  # seconds between two measurements
BUSY, FREE = 0.15, 0.05  # share of their runnable time that threads wait for a core
LEAST = 0.1  # seconds of runnable time: less is too little to decide


def libgomp() -> Path | None:
    """Return the OpenMP library in torch's package on Linux; None elsewhere, or if torch uses another library.

    torch is not imported.
    """
    spec = importlib.util.find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    return next(Path(folders[0], "lib").glob("libgomp*.so*"), None) if folders else None


def prepare_waiting(environ: MutableMapping[str, str] = os.environ) -> None:
    """Set OpenMP to spin on a free machine and to sleep at once on a busy one; the user's settings stay.

    OpenMP reads the variables when torch is imported. Child processes inherit them.
    """
    if libgomp() and not any(name in environ for name in WAITING):
        environ.update(OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT=str(SPIN))


def of_user(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Whether the user has set how OpenMP's threads wait."""
    found = [environ.get(name) for name in WAITING]
    return found not in ([None, None], ["passive", str(SPIN)])


def enough(parameters: int, units: int, most: int) -> int:
    """Return the number of threads for a step with these ``parameters`` and examples or tokens; at most ``most``.

    ``parameters * units`` is the number of multiply-adds of a forward pass; with convolutions it is a lower bound.
    """
    return 1 if parameters * units < LITTLE else most


class Sleep:
    """Makes OpenMP's threads sleep while they wait, from ``begin`` to ``end``.

    libgomp does so if the process has more OpenMP threads than cores. A second team of idle threads brings their
    number above that.
    """

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.nothing = ctypes.cast(self.library.omp_get_num_threads, ctypes.c_void_p)  # called by each idle thread
        self.over: threading.Event | None = None

    def begin(self, threads: int) -> None:
        """Start to sleep; ``threads`` is the number of threads that compute."""
        over, ready = threading.Event(), threading.Event()
        team = max(2, cores() - threads + 2)  # the first is the Python thread itself

        def hold() -> None:
            self.library.GOMP_parallel(self.nothing, None, team, 0)
            ready.set()
            over.wait()  # the team ends with its Python thread

        threading.Thread(target=hold, name="d2lrun-sleep", daemon=True).start()
        ready.wait()
        self.over = over

    def end(self) -> None:
        """Stop the second team of threads."""
        if self.over is not None:
            self.over.set()
        self.over = None


def times() -> tuple[float, float]:
    """Return the seconds that the living threads of this process have computed, and have waited for a core.

    Source: /proc/PID/task/TID/schedstat of Linux; on other systems both are 0.
    """
    computed = waited = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            numbers = [int(number) for number in path.read_text().split()]
            computed, waited = computed + numbers[0], waited + numbers[1]
        except (OSError, ValueError, IndexError):  # the thread has just ended, or the kernel does not count
            continue
    return computed / 1e9, waited / 1e9


class Usage:
    """Measures the share of its runnable time that this process waits for a core."""

    def __init__(self, times: Callable[[], tuple[float, float]] = times):
        self.times = times
        self.computed, self.waited = times()

    def share(self) -> float | None:
        """Return the share, from 0 to 1, since the last call; None if it computed too little, or if it is unknown."""
        computed, waited = self.times()
        spent, lost = computed - self.computed, waited - self.waited
        if spent + lost < LEAST:
            return None
        self.computed, self.waited = computed, waited
        return min(max(lost / (spent + lost), 0.0), 1.0)


def watch(
    share: Callable[[], float | None], threads: Callable[[], int], sleep: Sleep, tick: Callable[[], object]
) -> None:
    """At each ``tick``, begin or end ``sleep`` by the ``share``, until ``tick`` returns a true value."""
    asleep = False
    while not tick():
        waiting = share()
        if waiting is None:
            continue
        if not asleep and waiting > BUSY and threads() > 1:
            sleep.begin(threads())
            asleep = True
        elif asleep and waiting < FREE:
            sleep.end()
            asleep = False
    if asleep:
        sleep.end()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_watching: tuple[threading.Thread, threading.Event] | None = None  # the load; the event ends it


def adapt() -> bool:
    """From now on adapt how torch's threads wait to the load of the machine; return whether this is possible.

    A thread does this until ``release`` or the end of the process. torch must be imported.
    """
    global _watching
    import torch

    library = libgomp()
    if library is None or of_user() or cores() < 2 or not Path("/proc/self/schedstat").exists():
        return False
    if _watching is None:
        over = threading.Event()
        arguments = Usage().share, torch.get_num_threads, Sleep(library), partial(over.wait, TICK)
        _watching = threading.Thread(target=watch, args=arguments, name="d2lrun-threads", daemon=True), over
        _watching[0].start()
    return True


def release() -> None:
    """End the thread that ``adapt`` has started."""
    global _watching
    if _watching is not None:
        thread, over = _watching
        over.set()
        thread.join()
    _watching = None
