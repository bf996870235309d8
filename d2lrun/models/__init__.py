"""Networks: tensors in, logits out. One file a family, keyword arguments, no config inside.

Shapes in this folder: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import Any

from torch import nn

from d2lrun.config import MODELS
from d2lrun.models.init import initialise


def build(config: Any, inputs: tuple[int, int, int], classes: int) -> nn.Module:
    """The network that the config group ``model`` describes, initialised, on the CPU.

    ``inputs`` is (C, H, W). Draws from torch's global generator: seed it first.
    """
    module = import_module(f"d2lrun.models.{config.name.replace('-', '_')}")
    network = getattr(module, MODELS[config.name].attribute)
    names = {field.name for field in fields(config)} - {"name", "init"}
    model = network(inputs=inputs, classes=classes, **{name: getattr(config, name) for name in names})
    initialise(model, config.init.name, std=config.init.std, value=config.init.value)
    return model
