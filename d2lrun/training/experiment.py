"""The objects that a config describes, built and on their device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from d2lrun.config.keys import Config
from d2lrun.training.fit import State
from d2lrun.training.task import Part, Split, Task

Data = TypeVar("Data")


@dataclass
class Experiment(Generic[Data, Part]):
    """A run in memory. ``data`` is the dataset of the task's own class."""

    config: Config
    data: Data
    split: Split[Part]
    task: Task
    state: State
    identity: dict[str, Any]  # of the data: runs/identity.py
