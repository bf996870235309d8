"""Datasets: files in, tensors out. One file per dataset, with a ``load`` that takes the keys of its YAML file."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from d2lrun.config import plugins
from d2lrun.config.schema import data_name
from d2lrun.config.tables import dataset_of

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.disk.locate import Progress, Say
    from d2lrun.models.inputs import Inputs

# The last config, its dataset, and the stamps of its files, so that a sweep loads the dataset once.
# The keys that the last fit depends on, what was read for it, and its dataset, so that a run learns a vocabulary once.
_fitted: tuple[Any, Any, Any] | None = None
_last: tuple[dict[str, Any], Any, list[tuple[int, int] | None]] | None = None


def load(config: Any, say: Say = lambda line: None, progress: Progress | None = None) -> Any:
    """Return the dataset that the config group ``dataset`` describes, on the CPU; raises Refused.

    ``say`` takes a line for the user; ``progress`` takes the bytes of a download so far and in total (or None).
    """
    global _last
    plugins.refuse_missing("dataset", config)
    wanted = {**asdict(config), "": os.getcwd()}  # paths are relative to it
    view = {key: wanted.pop(key) for key in dataset_of(config).view}
    if _last is None or _last[0] != wanted or stamps(_last[1]) != _last[2]:
        name, arguments = wanted["name"], {key: wanted[key] for key in wanted if key not in ("", "name")}
        added = dataset_of(config).added
        if added:
            from d2lrun.datasets import registered

            found = registered.load(config, arguments, lambda own: module(own).load)
        else:
            found = module(name).load(**arguments, say=say, progress=progress)
        _last = wanted, found, stamps(found)
    return replace(_last[1], name=data_name(config), **view)


def stamps(data: Any) -> list[tuple[int, int] | None]:
    """Return modification time and size of each file of a dataset; if they change, the dataset is read again."""
    origins = [os.path.expanduser(content.origin) for content in data.contents]
    return [stamp(path) for origin in origins for path in (origin, *below(origin))]


def stamp(path: str) -> tuple[int, int] | None:
    """Return modification time and size of a file; None if it was generated, or downloaded and not kept."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def below(folder: str) -> list[str]:
    """Return all files in a folder and its subfolders; none if it is no folder."""
    return [os.path.join(place, name) for place, _, names in os.walk(folder) for name in names] if folder else []


def prepared(config: Config, say: Say = lambda line: None, progress: Progress | None = None) -> Any:
    """Return the dataset of a run, on the CPU, fitted on the training part, if every split works; raises Refused."""
    global _fitted
    data = load(config.dataset, say, progress)
    data.check_split(config)
    parts = [asdict(part) for part in (config.dataset, config.validation, config.augment)]
    wanted = parts, config.seed, config.train.class_weights, config.sweep.metric
    source = _last and _last[1]
    if _fitted is None or _fitted[0] != wanted or _fitted[1] is not source:
        _fitted = wanted, source, data.fit(config)
    return _fitted[2]


def shown(config: Config, say: Say = lambda line: None, progress: Progress | None = None) -> Any:
    """Return the dataset that ``d2lrun data`` shows: not split or fitted, but with the augmentation; raises Refused."""
    data = load(config.dataset, say, progress)
    return data.augmented_by(config.augment) if hasattr(data, "augmented_by") else data


def form(config: Config, say: Say = lambda line: None, progress: Progress | None = None) -> tuple[Inputs, int]:
    """Return what the network is given (``models/inputs.py``), and the number of its outputs per target.

    If the dataset's file has a function ``form``, nothing is read; else the dataset is loaded.
    """
    known = None if dataset_of(config.dataset).added else getattr(module(config.dataset.name), "form", None)
    found = known(config.dataset) if known else None
    if found is not None:
        return found
    data = prepared(config, say, progress)
    return data.inputs, data.outputs


def module(name: str) -> ModuleType:
    """Import the file of a dataset."""
    return import_module(f"d2lrun.datasets.{name.replace('-', '_')}")
