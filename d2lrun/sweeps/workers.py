"""The processes of a launcher: in which folder they begin, and that they end with the sweep.

Launchers start Python with ``-m`` or ``-c``, which puts the working directory in front of the import path: a user's
numpy.py there would be imported for numpy. So the processes begin in the sweep's folder, which holds no modules, and
``job`` changes to the user's folder when the import path is made. Python before 3.11 has no other way that keeps
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
TICK = 1.0  # seconds between two looks at the parent
parent: int | None = None  # the sweep's process, in a worker of joblib


@contextlib.contextmanager
def started_in(folder: Path) -> Iterator[None]:
    """Let the processes that are started meanwhile begin in ``folder``. This process is there, too, until the end."""
    before, given = os.getcwd(), os.environ.get("PYTHONPATH")
    entries = given.split(os.pathsep) if given else []
    if before == ROOT:  # a checkout that is not installed, as `python -m d2lrun` finds it
        entries.append(ROOT)
    if entries:  # a relative entry means the same as here
        os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, entries))
    os.chdir(folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it may be deleted by now
            os.chdir(before)
        if given is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = given


def adapt(launcher: Any) -> None:
    """Let what a launcher was given mean the same in another folder, and let workers of joblib end with the sweep."""
    for options in (getattr(launcher, "params", {}), getattr(launcher, "joblib", {})):
        options.update({key: os.path.abspath(options[key]) for key in FOLDERS if options.get(key)})
        if commands := options.get("setup"):  # of a Slurm job's shell
            options["setup"] = [f"begin=$PWD; cd {shlex.quote(os.getcwd())}", *commands, 'cd "$begin"']
    if hasattr(launcher, "joblib"):
        launcher.joblib.update(initializer=end_with, initargs=(os.getpid(),))


def end_with(process: int) -> None:
    """Let this worker end when the sweep's ``process``, its parent, has died: joblib keeps idle ones for minutes.

    The signal ends an idle worker; a run saves itself first. Where a parent's death does not show, nothing happens.
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
    """End a worker whose sweep has died: there may be more jobs in its queue."""
    if is_orphan():
        os.kill(os.getpid(), signal.SIGTERM)
