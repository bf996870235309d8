"""Datasets: files in, tensors out. One file a dataset, with a loader that takes the keys of its YAML."""

from __future__ import annotations

from dataclasses import asdict, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from d2lrun.config import DATASETS, PICTURE

if TYPE_CHECKING:
    from d2lrun.datasets.images import ImageDataset
    from d2lrun.datasets.locate import Progress, Say

_last: tuple[dict[str, Any], ImageDataset] | None = None  # wanted and found: a sweep loads it once


def load(config: Any, say: Say = lambda line: None, progress: Progress | None = None) -> ImageDataset:
    """The dataset that the config group ``dataset`` describes, on the CPU; raises Refused.

    ``say`` takes a line for people, ``progress`` the bytes of a download so far and in all (or None).
    """
    global _last
    wanted = asdict(config)
    picture = {key: wanted.pop(key) for key in PICTURE if key in wanted}
    if _last is None or _last[0] != wanted:
        name, arguments = wanted["name"], {key: wanted[key] for key in wanted if key != "name"}
        loader = getattr(module(name), DATASETS[name].attribute)
        _last = wanted, loader(**arguments, say=say, progress=progress)
    return replace(_last[1], **picture)


def form(config: Any) -> tuple[tuple[int, int, int], int]:
    """The shape (C, H, W) of an image and the number of classes; files are read only where they may hold anything."""
    if not config.verify:
        data = load(config)
        return data.image_shape, data.num_classes
    _, height, width = module(config.name).SHAPE
    shape = config.channels, config.resize or height, config.resize or width
    return shape, len(module(config.name).CLASSES)


def module(name: str) -> ModuleType:
    return import_module(f"d2lrun.datasets.{name.replace('-', '_')}")
