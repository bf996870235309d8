"""A finished run that is trained longer: a new run, which begins with the last checkpoint of its parent.

The new run is equal, bit for bit, to a run of so many epochs from the start. What cannot be equal is refused.
.parent.json in its directory has the parent's directory and the number of epochs that it trained. The parent is
only read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from d2lrun.config.keys import Config
from d2lrun.config.tables import network_of
from d2lrun.counts import counted
from d2lrun.disk import checkpoint, files, rundir
from d2lrun.disk.locate import Say
from d2lrun.disk.rundir import RunDirectory, config_hash
from d2lrun.errors import Refused
from d2lrun.runs import identity
from d2lrun.training.optim import same_rates


@contextmanager
def child(parent: RunDirectory, config: Config, say: Say) -> Iterator[Config]:
    """Make the directory of the new run and yield its config; raises Refused.

    ``config`` is that of the parent, with the new train.epochs. If the new run is refused before it trains, its
    directory is removed.
    """
    refuse_unfit(parent, config)
    config = identity.locate_data(config, parent, say)
    directory = RunDirectory(rundir.unique(config))
    config = replace(config, run=replace(config.run, dir=str(directory.path)))
    origin = {"parent": str(parent.path.absolute()), "epochs": known_epochs(parent)}
    files.write_json(directory.parent_file, origin)
    try:
        yield config
    except Refused:
        if not directory.metrics_file.exists():
            shutil.rmtree(directory.path, ignore_errors=True)
        raise


def refuse_unfit(parent: RunDirectory, config: Config) -> None:
    """Raise Refused if the parent, trained longer, would not equal a run with ``config`` from the start."""
    parent.refuse_folds()
    epochs, own = config.train.epochs, parent.load_config().train.epochs
    given = f"train.epochs={epochs}"
    if not network_of(config.model).steps:
        raise Refused(f"{given}: {config.model.name} learns in one pass, more epochs change nothing", "leave it out")
    if not parent.finished():
        status = (parent.result() or {}).get("status", "unfinished")
        hint = f"{parent.command('resume')} continues it; {given} is for a finished run"
        raise Refused(f"{given}: {parent.path} has not finished its {counted(own, 'epoch')} ({status})", hint)
    result, done = parent.known_result(), known_epochs(parent)
    if config.train.patience and done - (result.get("selected_epoch") or done) >= config.train.patience:
        reason = f"the run stopped after {counted(done, 'epoch')}, by train.patience={config.train.patience}"
        raise Refused(
            f"{given}: {reason}: a longer run stops there, too", f"{again(config)} and another train.patience"
        )
    if not same_rates(config.schedule, own, max(epochs, own + 1)):
        reason = f"schedule={config.schedule.name}: a run of so many epochs has other learning rates from its start"
        raise Refused(f"{given}: {reason}", f"{again(config)}; or begin a run with model.weights={parent.path}")
    if epochs <= done:
        hint = f"{parent.command('resume')} train.epochs={2 * done}"
        raise Refused(f"{given}: {parent.path} has trained {counted(done, 'epoch')}; wanted more", hint)


def known_epochs(parent: RunDirectory) -> int:
    """Return the number of epochs that a finished run trained."""
    return int(parent.known_result()["epochs"])


def inherit(directory: RunDirectory, config: Config, say: Say) -> None:
    """Copy the checkpoint of the parent, and its record of the data, to a run that has not saved a checkpoint yet.

    Does nothing for a run without a parent. Raises Refused if the parent has no checkpoint any more.
    """
    if not directory.parent_file.exists() or any(directory.checkpoints.glob("step-*.json*")):
        return
    origin = directory.parent()
    if origin is None:
        raise Refused(f"{directory.parent_file} is damaged", "d2lrun resume PARENT train.epochs=N starts another run")
    parent = RunDirectory(Path(origin["parent"]))
    for own, its in ((directory.data_file, parent.data_file), (directory.vocabulary_file, parent.vocabulary_file)):
        if its.exists():
            files.write_atomic(own, files.read(its))
    found = checkpoint.copy(parent.checkpoints, directory.checkpoints, parent.config_hashes(), config_hash(config))
    if not found:
        raise Refused(
            f"{parent.path} has no sound checkpoint to go on from",
            f"model.weights={parent.path} starts a new run from its weights; or {again(config)}",
        )
    say(f"goes on after {counted(origin['epochs'], 'epoch')} of {parent.path}")


def again(config: Config) -> str:
    """Return how to train a run with ``config`` from the start."""
    return f"repeat the command that started it, with train.epochs={config.train.epochs}"


def parentage(directory: RunDirectory) -> dict[str, Any]:
    """Return the entry ``parent`` of result.json: the parent's directory and epochs; nothing without a parent."""
    origin = directory.parent()
    return {} if origin is None else {"parent": origin}
