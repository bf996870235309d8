"""Datasets: files in, tensors out. One file a dataset, with a loader that takes the keys of its YAML."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from d2lrun.config import DATASETS, PICTURE, TEXT, WINDOW
from d2lrun.datasets.corpus import clean
from d2lrun.datasets.facts import Facts, facts
from d2lrun.schema import data_name

if TYPE_CHECKING:
    from d2lrun.datasets.corpus import TextDataset
    from d2lrun.datasets.images import ImageDataset
    from d2lrun.datasets.locate import Progress, Say
    from d2lrun.datasets.table import TableDataset

# Wanted, found, and the stamps of its files: a sweep loads it once.
_last: tuple[dict[str, Any], ImageDataset | TextDataset | TableDataset, list[tuple[int, int] | None]] | None = None


def load(
    config: Any, say: Say = lambda line: None, progress: Progress | None = None
) -> ImageDataset | TextDataset | TableDataset:
    """The dataset that the config group ``dataset`` describes, on the CPU; raises Refused.

    ``say`` takes a line for people, ``progress`` the bytes of a download so far and in all (or None).
    """
    global _last
    wanted = asdict(config)
    view = {key: wanted.pop(key) for key in (*PICTURE, *WINDOW) if key in wanted}  # of what was read
    if _last is None or _last[0] != wanted or stamps(_last[1]) != _last[2]:
        name, arguments = wanted["name"], {key: wanted[key] for key in wanted if key != "name"}
        loader = getattr(module(name), DATASETS[name].attribute)
        found = loader(**arguments, say=say, progress=progress)
        _last = wanted, found, stamps(found)
    return replace(_last[1], name=data_name(config), **view)


def stamps(data: ImageDataset | TextDataset | TableDataset) -> list[tuple[int, int] | None]:
    """When each file of a dataset was written last, and its size: others show that it is to be read again."""
    found = []
    for content in data.contents:
        try:
            status = os.stat(os.path.expanduser(content.origin))
            found.append((status.st_mtime_ns, status.st_size))
        except (OSError, ValueError):  # it was made, or fetched and not kept
            found.append(None)
    return found


def facts_of(config: Any, say: Say = lambda line: None, progress: Progress | None = None) -> Facts:
    """The counts of a text dataset, all of it, whatever part of it trains."""
    arguments = {key: value for key, value in asdict(config).items() if key not in (*TEXT, "name")}
    text, _ = module(config.name).read(**arguments, say=say, progress=progress)
    return facts(clean(text, config.rule), config.kind, load(config).vocabulary)


def form(
    config: Any, say: Say = lambda line: None, progress: Progress | None = None
) -> tuple[tuple[int, ...] | None, int]:
    """What a network is given and how many numbers it gives back.

    Of images the shape (C, H, W) and the number of classes; of a text None and the tokens of the vocabulary; of a
    table (D,) and 1. Files of images are read only where they may hold anything.
    """
    if "text" in DATASETS[config.name].kinds:
        return None, len(load(config, say, progress).vocabulary)
    if "table" in DATASETS[config.name].kinds:
        return load(config, say, progress).input_shape, 1
    if not config.verify:
        data = load(config, say, progress)
        return data.image_shape, data.num_classes
    _, height, width = module(config.name).SHAPE
    shape = config.channels, config.resize or height, config.resize or width
    return shape, len(module(config.name).CLASSES)


def module(name: str) -> ModuleType:
    return import_module(f"d2lrun.datasets.{name.replace('-', '_')}")
