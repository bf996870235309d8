"""Tasks, one folder each: what depends on what the examples are and what is predicted of them.

A folder has task.py (loss and metrics, for the loop), view.py (what people see of a run and its data), words.py (the
verbs that ask a finished run something), and the class of its datasets. No other package asks which task it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from d2lrun.config.tables import DATASETS, TASKS

if TYPE_CHECKING:
    from rich.console import Console

    from d2lrun.config.keys import Config
    from d2lrun.disk.rundir import RunDirectory
    from d2lrun.training.experiment import Experiment
    from d2lrun.training.task import Task


class View(Protocol):
    """What people see of a task: the module view.py of its folder. ``data`` is of the task's own class."""

    def prepare(self, data: Any, directory: RunDirectory, say: Callable[[str], None]) -> None:
        """Write what the run keeps of its data; raises Refused, before anything is written, if it began with others."""

    def check(self, data: Any, directory: RunDirectory) -> None:
        """Raise Refused if the data do not go with what a run keeps of its own."""

    def sample(self, experiment: Experiment, directory: RunDirectory, now: bool) -> None:
        """Write the samples that the state has, with ``now`` after it has made another one."""

    def describe(self, experiment: Experiment, directory: RunDirectory) -> dict[str, Any]:
        """More for the result.json of a finished run; predictions that somebody waits for are written, too."""

    def draw(self, experiment: Experiment, directory: RunDirectory, title: str, say: Callable[[str], None]) -> None:
        """The picture of what was predicted; one that fails is only reported."""

    def show(self, console: Console, data: Any, picture: Path) -> None:
        """Count and draw a dataset, for ``d2lrun data``."""


@dataclass
class Question:
    """What is asked of a finished run by ``d2lrun VERB RUN``."""

    directory: RunDirectory
    config: Config  # the run's own, with the place of its data or the device that the command names
    console: Console
    load: Callable[[], tuple[Any, Any]]  # the data, which are checked, and the trained model, both on the device
    check_data: Callable[[], None]  # raises Refused if the config names another place with other data
    options: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Word:
    """A verb of a task. ``usage`` has what follows RUN, such as ``[IMAGE...] [top=3] [prefix=TEXT]``."""

    usage: str
    does: str
    arguments: dict[str, str]  # what each means, for its help
    answer: Callable[[Question], None]
    check: Callable[[dict[str, str]], None] = lambda options: None  # raises Refused for an option's value

    @property
    def options(self) -> dict[str, str]:
        """The default of each option; empty if the usage names only what its value is, in capital letters."""
        pairs = re.findall(r"\[(\w+)=([^\]|]*)", self.usage)
        return {key: "" if value.isupper() else value for key, value in pairs}

    @property
    def takes_files(self) -> bool:
        """Whether files may follow the run's directory."""
        return "...]" in self.usage


def task_of(config: Config, data: Any) -> Task:
    """The loss and the metrics of a run on ``data``."""
    return module(task_name(config), "task").build(data, config.model)


def view_of(config: Config) -> View:
    """What people see of a run."""
    view: View = module(task_name(config), "view")
    return view


def task_name(config: Config) -> str:
    """The name of a run's task: a line of TASKS."""
    return DATASETS[config.dataset.name].task


@cache
def words() -> dict[str, dict[str, Word]]:
    """{verb: {task: Word}} of all tasks; imports no torch."""
    found: dict[str, dict[str, Word]] = {}
    for task in TASKS:
        for verb, word in module(task, "words").WORDS.items():
            found.setdefault(verb, {})[task] = word
    return found


def next_words(config: Config, directory: Path) -> list[object]:
    """The words of the command that a finished run is good for: a verb and its arguments."""
    return module(task_name(config), "words").next_words(config, directory)


def module(task: str, name: str) -> Any:
    """A file of a task's folder."""
    return import_module(f"d2lrun.tasks.{task}.{name}")
