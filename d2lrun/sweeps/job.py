"""One run of a sweep, in the process that its launcher starts, and its row in sweep.json."""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config import plugins
from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory, claim, is_at_chance, is_sound, notes_of
from d2lrun.errors import MACHINE, D2lrunError, InUse, Pruned, Stopped, cause_of, masked
from d2lrun.sweeps import trial, workers
from d2lrun.training import defaults, threads

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from d2lrun.config.keys import Config

SPOILED = ("failed", "diverged")  # ended without a result
ENDED = ("finished", *SPOILED, "pruned")
BUSY = "busy"  # another process has it
PENDING = "pending"
STOPPED = "stopped"  # by a signal to its own process; it has saved a checkpoint
MARKER = ".stop"  # in the sweep's folder: no other job may begin


def job(start: str, named: list[str], data: DictConfig) -> str:
    """Hydra's task in a sweep, in any process: train the run in ``run.dir``.

    Paths are relative to ``start``, the folder of the command; a worker begins in another folder. ``named`` are the
    words of the command that name its plugins.
    """
    threads.prepare_waiting()
    with contextlib.suppress(OSError):  # another machine may not have it; then the run's folder is missing below
        os.chdir(start)
    try:
        plugins.load_installed()
        plugins.load(plugins.taken(named)[0])
        with defaults.numbers():  # a plugin may have changed them
            return train_in(Path(data.run.dir))
    except Stopped:
        return STOPPED
    finally:
        workers.end_orphan()


def train_in(path: Path) -> str:
    """Train the run in the folder as ``train_unless_tried`` does; it is tried again if it has failed before."""
    return train_unless_tried(path, RunDirectory(path).result())


def train_unless_tried(path: Path, earlier: dict[str, Any] | None) -> str:
    """Train the run of the config in the folder; return its status, or BUSY if another process trains it.

    It is not tried again if it has failed since its result was ``earlier``: another process has tried it meanwhile.
    Raises only Stopped; other errors go to the run's result.json.
    """
    directory = RunDirectory(path)
    if (path.parent / MARKER).exists():
        return PENDING
    config, begun = None, False
    try:
        config = directory.load_config()
        config.run.dir = str(path)
        with claim(config) as claimed:
            result = directory.result() or {}
            if result != earlier and result.get("status") in SPOILED:
                return result["status"]
            if not trial.is_over(directory):
                directory.result_file.unlink(missing_ok=True)  # the result of an earlier try
                begun = True
                train_quietly(config, claimed)
        return "finished"
    except InUse:
        return BUSY
    except Pruned:
        return "pruned"
    except Exception as error:
        if not begun or directory.result() is None:  # the run failed before it could write its result
            reason = str(error) if isinstance(error, D2lrunError) else f"{type(error).__name__}: {error}"
            note_failure(directory, reason, cause_of(error))
        if config and config.sweep.on_error == "stop":
            with contextlib.suppress(OSError):
                (path.parent / MARKER).touch()
        return "failed"


def train_quietly(config: Config, directory: RunDirectory) -> None:
    """Train without output on the terminal: all lines go to run.log."""
    from d2lrun.config import compose
    from d2lrun.report.console import to_function
    from d2lrun.report.progress import Progress
    from d2lrun.runs import execute
    from d2lrun.training import devices

    curve = trial.curve_of(config, directory)
    silent = partial(trial.Reporting, curve=curve) if curve else partial(Progress, lines=0)
    with devices.a_gpu(config.device):
        train = execute.trainer(config)
        train(config, directory, to_function(), compose.departures(config), silent)


def note_failure(directory: RunDirectory, reason: str, cause: str = MACHINE) -> None:
    """Write to result.json why a run failed, if the run could not do it."""
    with contextlib.suppress(OSError):
        result = directory.result() or {"metrics": {}, "epochs": 0, "seconds": 0.0}
        files.write_json(directory.result_file, result | {"status": "failed", "error": masked(reason), "cause": cause})


def row_of(directory: RunDirectory, overrides: list[str], values: dict[str, Any], base: Path) -> dict[str, Any]:
    """Return a job's row in sweep.json, from the files in its folder."""
    result = directory.result() or {}
    sound = is_sound(result)
    result |= {key: str(result[key]) for key in ("status", "error") if result.get(key) is not None}  # if damaged
    status = None if result.get("status") == "finished" and not sound else result.get("status")
    metrics = result["metrics"] if sound else {}
    if sound and "folds" in result:
        metrics = {name: {**value, "n": len(result["folds"])} for name, value in metrics.items()}
    status = status or ("stopped" if directory.begun() else PENDING if directory.path.is_dir() else "failed")
    return {
        "overrides": overrides,
        "values": values,
        "directory": os.path.relpath(directory.path, base),
        "status": status,
        "metrics": metrics,
        "measured": (directory.data() or {}).get("measured", {}) if sound else {},
        "notes": notes_of(result) if sound else [],
        "at_chance": sound and is_at_chance(result),
        "epochs": result["epochs"] if sound else 0,
        "seconds": result["seconds"] if sound else 0.0,
        "error": result.get("error", None if directory.path.is_dir() else "its directory was deleted"),
    }
