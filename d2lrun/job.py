"""One run of a sweep, in whatever process a launcher puts it, and what its folder tells of it."""

from __future__ import annotations

import contextlib
import io
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun import files
from d2lrun.errors import D2lrunError, InUse
from d2lrun.rundir import RunDirectory, claim

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from d2lrun.config import Config

BUSY = "busy"  # another process has it
PENDING = "pending"
MARKER = ".stop"  # in the sweep's folder: no other job shall begin


def job(data: DictConfig) -> str:
    """Hydra's task in a sweep, wherever its launcher takes it: train the run that lies in ``run.dir``."""
    return train_in(Path(data.run.dir))


def train_in(path: Path) -> str:
    """Train the run whose config lies in the folder; returns how that ended, or BUSY where another process has it.

    What it raises is Stopped; every other error stands in the run's result.json.
    """
    directory = RunDirectory(path)
    if (path.parent / MARKER).exists():
        return PENDING
    config, earlier = None, directory.result()
    try:
        config = directory.load_config()
        config.run.dir = str(path)
        with claim(config):
            if not directory.finished():
                directory.result_file.unlink(missing_ok=True)  # how an earlier try ended
                train_quietly(config, directory)
        return "finished"
    except InUse:
        return BUSY
    except Exception as error:
        if directory.result() in (None, earlier):  # it did not come so far that it could say so itself
            told = str(error) if isinstance(error, D2lrunError) else f"{type(error).__name__}: {error}"
            note_failure(directory, told)
        if config and config.sweep.on_error == "stop":
            with contextlib.suppress(OSError):
                (path.parent / MARKER).touch()
        return "failed"


def train_quietly(config: Config, directory: RunDirectory) -> None:
    """Train without a word on the terminal: run.log has it all."""
    from rich.console import Console

    from d2lrun import compose, devices, kfold
    from d2lrun.report.progress import Progress

    nowhere = Console(file=io.StringIO(), force_terminal=False, force_interactive=False)
    silent = partial(Progress, lines=0)
    with devices.a_gpu(config.device, directory.path.parent):
        kfold.train(config, directory, nowhere, compose.departures(config), silent)


def note_failure(directory: RunDirectory, reason: str) -> None:
    """Keep in result.json why a run came to nothing, where it could not do so itself."""
    with contextlib.suppress(OSError):
        result = directory.result() or {"metrics": {}, "epochs": 0, "seconds": 0.0}
        files.write_json(directory.result_file, result | {"status": "failed", "error": reason})


def tell(directory: RunDirectory, overrides: list[str], values: dict[str, Any], base: Path) -> dict[str, Any]:
    """A job's row in sweep.json, from the files in its folder."""
    result = directory.result()
    metrics = (result or {}).get("metrics")
    return {
        "overrides": overrides,
        "values": values,
        "directory": os.path.relpath(directory.path, base),
        "status": (result or {}).get("status") or ("stopped" if directory.begun() else PENDING),
        "metrics": metrics if isinstance(metrics, dict) else {},
        "epochs": (result or {}).get("epochs"),
        "seconds": (result or {}).get("seconds"),
        "error": (result or {}).get("error"),
    }
