"""Train what a config describes, in its directory: one run, or all its folds. A finished run is not trained again.

torch is imported after the directory is locked: a refusal does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from d2lrun.config import compose, plugins
from d2lrun.config.keys import Config
from d2lrun.disk import rundir
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import MACHINE, D2lrunError, OtherData, Refused, cause_of
from d2lrun.report.progress import Progress
from d2lrun.report.text import say

if TYPE_CHECKING:
    from rich.console import Console


def trained(
    config: Config, console: Console, resumed: bool = False, progress: Callable[..., Progress] = Progress
) -> tuple[RunDirectory, dict[str, Any]]:
    """Train the run of the config; return its directory and the content of result.json.

    If it is finished and ``resumed``, data that cannot be read are only reported. ``progress`` is the class that shows
    the epochs. Raises Refused, Failed, Diverged or Stopped.
    """
    plugins.refuse_changed(config)
    plugins.refuse_stale(config)
    changed = compose.departures(config)
    with rundir.claim(config) as directory:
        from d2lrun.runs import identity, kfold

        if directory.finished():
            return directory, finished(config, directory, console, resumed)
        config = identity.locate_data(config, directory, partial(say, console))
        train = trainer(config)
        if getattr(config.validation, "refit", False) and not kfold.is_folded(config):
            say(console, "this run is one fold: validation.refit is used only after all folds")
        with resumable(directory, console):
            return directory, train(config, directory, console, changed, progress)


def trainer(config: Config) -> Callable[..., dict[str, Any]]:
    """Return the function that trains one run, or all folds if the config names them.

    Raises Refused if the code of the network or dataset is not that of the config.
    """
    plugins.refuse_changed(config)
    from d2lrun.runs import kfold
    from d2lrun.runs.run import run

    return kfold.run_folds if kfold.is_folded(config) else run


def finished(config: Config, directory: RunDirectory, console: Console, resumed: bool) -> dict[str, Any]:
    """Return the result of a finished run; raises Refused if its data differ from the data of the config."""
    from d2lrun.runs import identity, kfold

    try:
        config = identity.locate_data(config, directory, partial(say, console))
        if directory.data() is None:
            kfold.adopt(config, directory)
            say(console, "an earlier version made this run: its data are assumed to be the present data")
    except Refused as refusal:
        if isinstance(refusal, OtherData) or not resumed:
            raise
        say(console, f"its data cannot be compared: {refusal}")
    say(console, f"already finished: {directory.path}")
    return directory.known_result()


@contextmanager
def resumable(directory: RunDirectory, console: Console) -> Iterator[None]:
    """If a run fails through the machine, print the command that continues it, unless the hint has it."""
    try:
        yield
    except (D2lrunError, OSError) as error:
        following = directory.command("resume")
        through_machine = not isinstance(error, Refused) and cause_of(error) == MACHINE
        if through_machine and following not in getattr(error, "hint", ""):
            say(console, f" next        {following}")
        raise
