"""A dataset that the user's code has registered (config/registry.py): its function is called for the data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from d2lrun.config.code import place_of
from d2lrun.config.registry import values_of
from d2lrun.config.tables import DATASETS, INPUTS, TASKS, dataset_of
from d2lrun.datasets import memory
from d2lrun.disk.content import Content
from d2lrun.errors import Refused


def load(config: Any, arguments: dict[str, Any], loader: Callable[[str], Callable[..., Any]]) -> Any:
    """Return the dataset that the function of a config group ``dataset`` makes; raises Refused.

    Inputs and targets are read as files of them are: ``loader`` returns the function ``load`` of a dataset's name.
    """
    name, line = f"dataset={config.name}", dataset_of(config)
    assert line.added is not None
    try:
        value = line.added.make(**{key: value for key, value in arguments.items() if key in line.arguments})
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        message = f"{place_of(error)}{name}: {type(error).__name__}: {error}"
        raise Refused(message, "correct the function") from error
    if hasattr(value, "contents") and hasattr(value, "fit"):
        return value
    with TemporaryDirectory() as folder:
        return read(value, name, line.task, Path(folder), loader)


def read(value: Any, name: str, task: str, folder: Path, loader: Callable[[str], Callable[..., Any]]) -> Any:
    """Write inputs and targets to files in ``folder``, and return the dataset that reads them; raises Refused."""
    own, keys = memory.files_of(value, folder, name)
    if own != TASKS[task].own:
        holds = INPUTS[TASKS[DATASETS[own].task].inputs]
        hint = f"@d2lrun.dataset(NAME, task={DATASETS[own].task!r})"
        raise Refused(f"{name}: it returns {holds}, and its task is {task}", hint)
    values = values_of(own) | keys
    try:
        data = loader(own)(**{key: values[key] for key in DATASETS[own].arguments})
    except Refused as refusal:
        message = str(refusal)
        for key in ("path", "test"):
            message = message.replace(keys.get(key, name), name)
        raise Refused(message, "correct what the function returns") from refusal
    contents = tuple(Content(name, content.sha256) for content in data.contents)
    return replace(data, source=f"the function of {name}", contents=contents)
