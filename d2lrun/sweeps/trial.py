"""One trial of a search, in any process: it reports its validation curve to the study, and may be pruned.

A worker reads its settings from a small file in the run's folder. The study is an Optuna study.
"""

from __future__ import annotations

import os
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config.metrics import main_metric
from d2lrun.disk.kinds import IS_TRIAL
from d2lrun.disk.rundir import RunDirectory, read_object
from d2lrun.errors import HIDDEN, MACHINE, Pruned, Refused, masked
from d2lrun.report.progress import Progress

if TYPE_CHECKING:
    from d2lrun.config.keys import Config

FILE = ".trial.json"  # study, storage (null: STUDY; its password masked), number, metric, pruner, startup
ADDRESS = "D2LRUN_STORAGE"  # environment variable: the storage with its password, which no file holds
STUDY = "study.db"  # in the sweep's folder
ENDED = ("pruned", "diverged", "failed")  # ended early and not continued
PATIENCE = 60  # seconds that SQLite waits for another process


@cache
def engine() -> Any:
    """Return the package optuna, with its log output disabled; raises Refused if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise Refused("sweep=optuna: Optuna is not installed", "pip install 'd2lrun[optuna]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def pass_on(url: str | None) -> None:
    """Pass the storage to child processes, by an environment variable."""
    if url:
        os.environ[ADDRESS] = url


def unmasked(url: str | None) -> str | None:
    """Return the storage that FILE names, with the password from the sweep's process."""
    given = os.environ.get(ADDRESS)
    return given if given is not None and masked(given) == url else url


@cache
def storage(url: str | None, folder: Path) -> Any:
    """Return the storage of a study: at an Optuna URL, or in the sweep's folder; made once per process.

    Raises Refused if its password is masked.
    """
    if HIDDEN in (url or ""):
        raise Refused(
            f"sweep.storage={url}: {HIDDEN} stands for the password",
            f"give the password; if a launcher's process says so, let the launcher pass on the variable {ADDRESS}",
        ) from ConnectionError(url)  # the cause is the machine, not the values of a trial
    optuna = engine()
    if not url and os.path.lexists(folder / STUDY) and not (folder / STUDY).is_file():
        raise Refused(f"{folder / STUDY} is no file", "move it away: without it the search starts again")
    from sqlalchemy import URL
    from sqlalchemy.pool import NullPool

    url = url or URL.create("sqlite", database=str(folder / STUDY)).render_as_string()
    alone = {"connect_args": {"timeout": PATIENCE}, "poolclass": NullPool}  # a file needs no open connection
    return optuna.storages.RDBStorage(url, engine_kwargs=alone if url.startswith("sqlite") else None)


def is_over(directory: RunDirectory) -> bool:
    """Whether the run needs no more training. A trial is repeated only if it failed through the machine."""
    result = directory.result() or {}
    over = result.get("status") in ENDED and result.get("cause") != MACHINE
    return directory.finished() or ((directory.path / FILE).exists() and over)


class Reporting(Progress):
    """Shows nothing, and reports the metric of every epoch to the study of a trial."""

    def __init__(self, *arguments: Any, curve: Curve, **options: Any):
        super().__init__(*arguments, **options | {"lines": 0})
        self.curve = curve

    def epoch(self, record: dict[str, Any]) -> None:
        super().epoch(record)
        self.curve.report(self.label.strip(), record)


class Curve:
    """The validation curve of a trial; with K folds, the concatenated curves of all folds."""

    def __init__(self, trial: Any, metric: str | None, parts: list[str], epochs: int, reported: set[int]):
        self.trial, self.metric, self.parts, self.epochs = trial, metric, parts, epochs
        self.reported = reported  # reported steps, including the steps before a kill

    def report(self, part: str, record: dict[str, Any]) -> None:
        """Report an epoch of a fold ("" without folds); raises Pruned, but not after the last epoch of all."""
        metric = main_metric(record, self.metric)
        if part not in self.parts or metric is None or not isfinite(record[metric]):
            return
        step = self.parts.index(part) * self.epochs + record["epoch"]
        if step in self.reported:
            return
        self.trial.report(record[metric], step)
        self.reported.add(step)
        if step < len(self.parts) * self.epochs and self.trial.should_prune():
            raise Pruned(f"pruned after epoch {record['epoch']}: most trials had a better {metric} by then")


def curve_of(config: Config, directory: RunDirectory) -> Curve | None:
    """Return the Curve of the run in the directory; None if it is no trial, or if its trial has ended."""
    facts = read_object(directory.path / FILE)
    if not IS_TRIAL(facts):
        return None
    from d2lrun.runs import kfold

    optuna = engine()
    store = storage(unmasked(facts["storage"]), directory.path.parent)
    key = store.get_trial_id_from_study_id_trial_number(store.get_study_id_from_name(facts["study"]), facts["number"])
    so_far = store.get_trial(key)
    if so_far.state.is_finished():
        return None
    median = optuna.pruners.MedianPruner(n_startup_trials=facts["startup"])
    pruner = median if facts["pruner"] == "median" else optuna.pruners.NopPruner()
    sampler = optuna.samplers.RandomSampler()  # not used here
    study = optuna.load_study(study_name=facts["study"], storage=store, sampler=sampler, pruner=pruner)
    parts = [name for name, _ in kfold.folds(config, directory)] if kfold.is_folded(config) else [""]
    return Curve(optuna.Trial(study, key), facts["metric"], parts, config.train.epochs, set(so_far.intermediate_values))
