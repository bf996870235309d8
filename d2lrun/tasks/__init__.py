"""Tasks, one folder per task: the code that depends on the kind of examples and predictions.

A folder has task.py (loss and metrics, for the loop), view.py (the output of a run and its data for people), words.py
(the verbs that use a finished run), values.py (the same verbs for Python, with values in and out), and the class of its
datasets. No other package asks for the kind of task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from d2lrun.config.tables import TASKS, dataset_of
from d2lrun.errors import Refused

if TYPE_CHECKING:
    from rich.console import Console
    from torch import Tensor

    from d2lrun.config.keys import Config
    from d2lrun.disk.rundir import RunDirectory
    from d2lrun.training.experiment import Experiment
    from d2lrun.training.task import Task


class View(Protocol):
    """The output of a task for people: the module view.py of its folder. ``data`` has the task's own class."""

    def prepare(self, data: Any, directory: RunDirectory, say: Callable[[str], None]) -> None:
        """Write the run's record of its data; raises Refused, before a write, if the run started with other data."""

    def check(self, data: Any, directory: RunDirectory) -> None:
        """Raise Refused if the data do not match the run's record of its data."""

    def sample(self, experiment: Experiment, directory: RunDirectory, now: bool) -> None:
        """Write the samples of the state; if ``now``, make a new sample first."""

    def describe(self, experiment: Experiment, directory: RunDirectory) -> dict[str, Any]:
        """Return more entries for result.json of a finished run; may also write files, such as predictions."""

    def draw(self, experiment: Experiment, directory: RunDirectory, title: str, say: Callable[[str], None]) -> None:
        """Draw the predictions; an error is only reported."""

    def show(self, console: Console, data: Any, picture: Path) -> None:
        """Print the counts of a dataset and draw it, for ``d2lrun data``."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The predicted classes of n examples, of K classes."""

    labels: list[str]  # [n]: the most probable class of each
    probabilities: Tensor  # float32 [n, K], on the CPU
    classes: tuple[str, ...]  # [K]: the names of the columns

    @classmethod
    def of(cls, probabilities: Tensor, classes: Sequence[str]) -> Classes:
        """Return the most probable classes by ``probabilities`` [n, K]."""
        found = probabilities.float().cpu()
        return cls([classes[place] for place in found.argmax(dim=1).tolist()], found, tuple(classes))

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class Question:
    """The arguments of ``d2lrun VERB RUN``, for a verb of a task."""

    directory: RunDirectory
    config: Config  # the run's config, with the place of the data and the device from the command
    console: Console
    load: Callable[[], tuple[Any, Any]]  # returns the checked data and the trained model, both on the device
    check_data: Callable[[], None]  # raises Refused if the config names another place with other data
    options: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Word:
    """A verb of a task. ``usage`` is the text after RUN, such as ``[IMAGE...] [top=3] [prefix=TEXT]``."""

    usage: str
    does: str
    arguments: dict[str, str]  # the meaning of each argument, for the help
    answer: Callable[[Question], None]
    check: Callable[[dict[str, str]], None] = lambda options: None  # raises Refused for a wrong value

    @property
    def options(self) -> dict[str, str]:
        """The default of each option; empty if the usage has only a placeholder in capital letters."""
        pairs = re.findall(r"\[(\w+)=([^\]|]*)", self.usage)
        return {key: "" if value.isupper() else value for key, value in pairs}

    @property
    def takes_files(self) -> bool:
        """Whether files may follow the run's directory."""
        return "...]" in self.usage


def whole(options: dict[str, str], name: str, least: int, most: int, verb: str) -> int:
    """Return an option of a verb as a whole number from ``least`` to ``most``; raises Refused."""
    digits = options[name]
    if not (digits.isdecimal() and len(digits) <= len(str(most)) and least <= int(digits) <= most):
        raise Refused(
            f"{name}={digits}: wanted a whole number at least {least} and at most {most:,}", f"d2lrun {verb} --help"
        )
    return int(digits)


def texts_of(given: Any) -> list[str]:
    """Return a text, or a sequence of texts, as a list; raises Refused."""
    texts = [given] if isinstance(given, str) else list(given or [])
    if not texts or not all(isinstance(text, str) for text in texts):
        raise Refused(f"{given!r}: wanted a text, or a list of texts", "give at least one text")
    return texts


def task_of(config: Config, data: Any) -> Task:
    """Return the task (loss and metrics) of a run on ``data``."""
    return module(task_name(config), "task").build(data, config.model)


def view_of(config: Config) -> View:
    """Return the View of a run's task."""
    view: View = module(task_name(config), "view")
    return view


def task_name(config: Config) -> str:
    """Return the name of a run's task in the table TASKS."""
    return dataset_of(config.dataset).task


@cache
def words() -> dict[str, dict[str, Word]]:
    """Return {verb: {task: Word}} of all tasks; imports no torch."""
    found: dict[str, dict[str, Word]] = {}
    for task in TASKS:
        for verb, word in module(task, "words").WORDS.items():
            found.setdefault(verb, {})[task] = word
    return found


def value(task: str, verb: str) -> Callable[[Question, Any], Any] | None:
    """Return the function of a verb for Python, in values.py of a task's folder; None if there is none."""
    if not Path(__file__).with_name(task).joinpath("values.py").is_file():
        return None
    return getattr(module(task, "values"), verb, None)


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of the next command after a run: a verb and its arguments."""
    return module(task_name(config), "words").next_words(config, directory)


def module(task: str, name: str) -> Any:
    """Import a file of a task's folder."""
    return import_module(f"d2lrun.tasks.{task}.{name}")
