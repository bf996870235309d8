"""The processes of a launcher: the folder in which they begin, and their end together with the sweep.

Launchers start Python with ``-m`` or ``-c``, which puts the working directory first in the import path: a user's
numpy.py there would replace numpy. So the processes begin in the sweep's folder, which has no modules, and ``job``
changes to the user's folder after the import path is set. Before Python 3.11 there is no other way that keeps
PYTHONPATH.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import d2lrun

ROOT = str(Path(d2lrun.__file__).parents[1])  # the folder that d2lrun is imported from
FOLDERS = ("submitit_folder", "temp_folder")  # keys of launchers that name a folder
TICK = 1.0  # seconds between two checks of the parent
parent: int | None = None  # the sweep's process, in a worker of joblib


@contextlib.contextmanager
def started_in(folder: Path) -> Iterator[None]:
    """Let child processes begin in ``folder``; the working directory of this process is ``folder`` until the end."""
    before, given = os.getcwd(), os.environ.get("PYTHONPATH")
    entries = given.split(os.pathsep) if given else []
    if before == ROOT:  # a checkout that is not installed, started by `python -m d2lrun`
        entries.append(ROOT)
    if entries:  # make relative entries absolute, so they mean the same folder
        os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, entries))
    os.chdir(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be deleted meanwhile
            os.chdir(before)
        if given is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = given


def adapt(launcher: Any) -> None:
    """Make relative paths in a launcher's options absolute, and let joblib's workers end with the sweep."""
    for options in (getattr(launcher, "params", {}), getattr(launcher, "joblib", {})):
        options.update({key: os.path.abspath(options[key]) for key in FOLDERS if options.get(key)})
        if commands := options.get("setup"):  # of a Slurm job's shell
            options["setup"] = [f"begin=$PWD; cd {shlex.quote(os.getcwd())}", *commands, 'cd "$begin"']
    if hasattr(launcher, "joblib"):
        launcher.joblib.update(initializer=end_with, initargs=(os.getpid(),))


def end_with(process: int) -> None:
    """End this worker after its parent, the sweep's ``process``, has died: joblib keeps idle workers for minutes.

    The signal ends an idle worker; a run first saves a checkpoint. If the death of a parent cannot be detected, nothing
    happens.
    """
    global parent
    parent = process

    def watch() -> None:
        while not is_orphan():
            time.sleep(TICK)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def is_orphan() -> bool:
    """Whether this is a worker of joblib whose sweep has died."""
    return parent is not None and os.getppid() != parent


def end_orphan() -> None:
    """End a worker whose sweep has died, since its queue may have more jobs."""
    if is_orphan():
        os.kill(os.getpid(), signal.SIGTERM)
