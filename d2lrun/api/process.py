"""A run in a process that is not d2lrun's own: what is global there is as d2lrun needs it, and then as it was.

torch's generators, threads and settings, and Hydra's state, belong to the whole process. So one run works at a time: a
run of another thread waits.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from d2lrun import signals
from d2lrun.config import compose
from d2lrun.config.keys import Config
from d2lrun.report import notebook
from d2lrun.report.console import terminal, to_function
from d2lrun.report.progress import Progress
from d2lrun.training import defaults, threads

if TYPE_CHECKING:
    from rich.console import Console

LOG = logging.getLogger("d2lrun")
LOG.addHandler(logging.NullHandler())
ONE_AT_A_TIME = threading.RLock()
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # which a deterministic run on a GPU sets


@contextmanager
def isolated() -> Iterator[None]:
    """Wait for the runs of other threads; leave torch's generators, threads and settings as they were."""
    import_torch()
    with ONE_AT_A_TIME, ExitStack() as after:
        for part in (handlers, generators, defaults.numbers, settings, memory, remarks, pictures):
            after.enter_context(part())
        yield


@contextmanager
def handlers() -> Iterator[None]:
    """Leave the user's signal handlers in place."""
    before, signals.owned = signals.owned, False
    try:
        yield
    finally:
        signals.owned = before


def composed(words: list[str], config_dir: str | None) -> Config:
    """Return the checked config of a run; Hydra's state belongs to the whole process, too. Raises Refused."""
    with ONE_AT_A_TIME:
        return compose.compose(words, config_dir)


def import_torch() -> None:
    """Import torch, whose threads then wait as d2lrun's do (``training/threads.py``), unless it is imported."""
    if "torch" not in sys.modules:
        before = dict(os.environ)
        threads.prepare_waiting()
        import torch  # noqa: F401

        for name in os.environ.keys() - before.keys():
            del os.environ[name]


@contextmanager
def generators() -> Iterator[None]:
    """Give the global generators of torch, NumPy and Python back as they were: the user's code may seed them."""
    import numpy
    import torch

    gpu = torch.cuda if torch.cuda.is_initialized() else None
    before, gpus = torch.get_rng_state(), gpu and gpu.get_rng_state_all()
    others = numpy.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before)
        numpy.random.set_state(others[0])
        random.setstate(others[1])
        if gpu:
            gpu.set_rng_state_all(gpus)


@contextmanager
def settings() -> Iterator[None]:
    """Give the number of threads and the settings of the backends back as they were."""
    import torch

    backends: Any = torch.backends
    places: list[tuple[Any, str]] = [
        *((backend, "fp32_precision") for backend in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn)),
        (torch.utils.deterministic, "fill_uninitialized_memory"),
    ]
    before = [getattr(*place) for place in places]
    count, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    try:
        yield
    finally:
        for place, value in zip(places, before, strict=True):
            setattr(*place, value)
        torch.set_num_threads(count)
        if torch.get_deterministic_debug_mode() != mode:
            torch.set_deterministic_debug_mode(mode)


@contextmanager
def memory() -> Iterator[None]:
    """Let the threads wait, the memory be freed and cuBLAS compute as they did before a run."""
    from d2lrun.training import fit

    before = os.environ.get(CUBLAS)
    try:
        yield
    finally:
        threads.release()
        fit.return_freed_memory()
        if before is None:
            os.environ.pop(CUBLAS, None)


@contextmanager
def remarks() -> Iterator[None]:
    """Hide the warnings of PIL about damaged images, as the command line does, and then show warnings as before."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@contextmanager
def pictures() -> Iterator[None]:
    """Draw with matplotlib's own defaults, and leave the user's settings and backend as they are."""
    try:
        import matplotlib  # as the user would, with matplotlibrc
    except Exception:  # an invalid file or backend of the user; without them it is imported to draw
        yield
        return
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def console() -> Console:
    """Return a console whose lines go to the log "d2lrun"."""
    return to_function(LOG.info)


def display(quiet: bool | None) -> tuple[Console, Callable[..., Progress]]:
    """Return where the lines of a run go, and what shows its epochs.

    True: the log. False: stdout, as on the command line. None: the output of a notebook's cell, elsewhere the log.
    """
    if quiet is None and notebook.is_notebook():
        return console(), partial(notebook.CellProgress, screen=notebook.Screen())
    return (terminal() if quiet is False else console()), Progress


def lines(quiet: bool | None) -> Console:
    """Return where the lines of a sweep go, as in ``display``."""
    if quiet is None and notebook.is_notebook():
        return to_function(notebook.Screen().say)
    return display(quiet)[0]
