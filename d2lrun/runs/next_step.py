"""The command to run next after a run or a sweep, quoted so that a shell accepts it as printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from d2lrun.config.keys import Config
from d2lrun.config.plugins import command
from d2lrun.disk.rundir import REFIT
from d2lrun.errors import HIDDEN
from d2lrun.tasks import next_words


def continuing(sweep: str) -> str:
    """Return how to continue the sweep of the command line ``sweep``; a masked password is not repeated."""
    return f"continue with: {sweep}" if HIDDEN not in sweep else "the same command continues it"


def after_run(config: Config, directory: Path) -> str:
    """Return the next command after a finished run. K folds leave no model unless they end with a refit."""
    if config.validation.name == "kfold" and config.validation.fold is None:
        if not config.validation.refit:
            return command("compare", directory)
        directory = directory / REFIT
    return command(*next_words(config, directory))


def after_sweep(sweep: dict[str, Any], directory: Path, jobs: list[Any], refit: Any) -> str:
    """Return the next command after a sweep: continue it, else use its best model, else compare.

    ``sweep`` is the content of sweep.json; its ``jobs`` and ``refit`` have a config. A command with a masked password
    is not returned.
    """
    unfinished = any(job["status"] not in ("finished", "pruned") for job in sweep["jobs"])
    if unfinished and sweep.get("rerun") and HIDDEN not in sweep["rerun"]:
        return sweep["rerun"]
    if refit is not None and (sweep.get("refit") or {}).get("status") == "finished":
        return after_run(refit.config, Path(refit.config.run.dir))
    if best := sweep.get("best"):
        config = jobs[sweep["groups"][best["group"]]["jobs"][0]].config
        return after_run(config, Path(config.run.dir))
    return command("compare", directory)
