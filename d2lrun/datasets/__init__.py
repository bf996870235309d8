"""Datasets: files in, tensors out. One file a dataset, with a loader that takes the keys of its YAML."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from d2lrun.config import DATASETS

if TYPE_CHECKING:
    from d2lrun.datasets.images import ImageDataset
    from d2lrun.datasets.locate import Progress, Say

_last: tuple[Any, ImageDataset] | None = None  # a config and its dataset: the jobs of a sweep load it once


def load(config: Any, say: Say = lambda line: None, progress: Progress | None = None) -> ImageDataset:
    """The dataset that the config group ``dataset`` describes, on the CPU; raises Refused.

    ``say`` takes a line for people, ``progress`` the bytes of a download so far and in all (or None).
    """
    global _last
    if _last is None or _last[0] != config:
        arguments = asdict(config)
        name = arguments.pop("name")
        loader = getattr(module(name), DATASETS[name].attribute)
        _last = config, loader(**arguments, say=say, progress=progress)
    return _last[1]


def form(config: Any) -> tuple[tuple[int, int, int], int]:
    """The shape (C, H, W) of an image and the number of classes; files are read only where they may hold anything."""
    if config.verify:
        return module(config.name).SHAPE, len(module(config.name).CLASSES)
    data = load(config)
    return data.image_shape, data.num_classes


def module(name: str) -> ModuleType:
    return import_module(f"d2lrun.datasets.{name.replace('-', '_')}")
