"""Networks: tensors in, logits out. One file per family, with keyword arguments and no config.

Shapes in this folder: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from fnmatch import fnmatchcase
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from d2lrun.config import plugins
from d2lrun.config.keys import Model
from d2lrun.config.tables import network_of
from d2lrun.disk import weights
from d2lrun.disk.locate import Progress, Say
from d2lrun.errors import Refused
from d2lrun.models import faults
from d2lrun.models.init import initialise
from d2lrun.models.inputs import Inputs, Stream, example_of
from d2lrun.models.shapes import smallest_side

COMMON = {field.name for field in fields(Model)} | {"name", "source"}


def build(config: Any, inputs: Inputs, classes: int) -> nn.Module:
    """Return the initialised network that the config group ``model`` describes, on the CPU.

    ``inputs`` says what the network is given (``models/inputs.py``), ``classes`` is the number of outputs per target:
    for a stream of tokens, the size of the vocabulary. Draws from torch's global generator: seed it first. Raises
    Refused if the images are too small, ``freeze`` matches no parameter, or the file of the network has an error.
    """
    arguments = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in COMMON}
    make = partial(network(config), classes=classes, **arguments)
    faults.check_arguments(config.name, make.func, {"inputs": inputs, **make.keywords})
    model = (added if network_of(config).added else own)(config, make, inputs, classes)
    init = asdict(config.init)
    initialise(model, init.pop("name"), **init)
    freeze(model, config.freeze)
    return model


def added(config: Any, make: Callable[..., nn.Module], inputs: Inputs, classes: int) -> nn.Module:
    """Return the network that the user's code makes, after it was tried; raises Refused with the line of an error."""
    try:
        model = make(inputs=inputs)
        faults.check_network(config.name, model, inputs)
        outputs = try_inputs(model, *example_of(inputs))
        faults.check_outputs(config.name, outputs, inputs, classes)
        if isinstance(inputs, Stream):
            try_inputs(model, *example_of(inputs), outputs[1])  # the next window
        return model
    except Refused:
        raise
    except (Exception, SystemExit) as error:
        raise faults.mistake_of_user(config.name, error, inputs) from error


def own(config: Any, make: Callable[..., nn.Module], inputs: Inputs, classes: int) -> nn.Module:
    """Return a network of d2lrun's own, after it was tried; raises Refused."""
    try:
        model = make(inputs=inputs)
        if network_of(config).steps:  # a model of counts cannot predict before it has counted
            try_inputs(model, *example_of(inputs))
        return model
    except faults.MISTAKES as error:
        raise faults.mistake(config.name, error) from error
    except (ValueError, AssertionError) as error:
        if not isinstance(inputs, tuple) or len(inputs) != 3:
            raise Refused(f"model={config.name}: {error}", "d2lrun --cfg job shows its keys") from error
        smallest = smallest_side(lambda shape: make(inputs=shape), inputs[0])
        if smallest is None:
            raise faults.wrong_size(config.name, make, inputs, error) from error
        raise misfit(config, inputs, smallest, error) from error


def first_weights(
    config: Any, inputs: Inputs, say: Say, progress: Progress | None
) -> tuple[str, dict[str, Tensor]] | None:
    """Return the source of the weights that a new run begins with, and the tensors by name; raises Refused.

    None if the initial weights are drawn. A network with the key ``pretrained`` has two functions in its file:
    ``published`` returns the source and the tensors, ``adapted`` gives the tensors of such a file the model's names.
    """
    module: Any = None if network_of(config).added else import_module(module_name(config.name))
    adapted = getattr(module, "adapted", lambda tensors: tensors)
    if config.weights is not None:
        return config.weights, adapted(weights.read(weights.find(config.weights)))
    if module is None or not getattr(config, "pretrained", False):
        return None
    source, tensors = module.published(config.arch, inputs, say, progress)
    return source, adapted(tensors)


def network(config: Any) -> Callable[..., nn.Module]:
    """Return the class or function of a config group ``model``; raises Refused if its file has an error."""
    plugins.refuse_missing("model", config)
    name, line = config.name, network_of(config)
    if line.added:
        return line.added.make
    faults.check_file(name)
    try:
        module = import_module(module_name(name))
    except faults.MISTAKES as error:
        raise faults.mistake(name, error) from error
    return faults.attribute(name, module, line.attribute)


def module_name(name: str) -> str:
    """Return the dotted name of the file of a network."""
    return f"d2lrun.models.{name.replace('-', '_')}"


def try_inputs(model: nn.Module, *inputs: Tensor) -> Any:
    """Return the model's outputs for ``inputs``, each [1, …]; raises ValueError if it does not accept them.

    A lazy layer gets its parameters here. In inference mode they could not be trained.
    """
    try:
        with torch.no_grad():
            return model.eval()(*inputs)
    except RuntimeError as error:
        if "memory" in str(error).lower():
            raise
        raise ValueError(str(error)) from error
    finally:
        model.train()


def trains_on(model: nn.Module, inputs: Tensor | tuple[Tensor, ...]) -> bool:
    """Whether the model accepts ``inputs``, each [B, …], in train mode; neither it nor the random generators change.

    Batch normalisation accepts a single example only if its feature maps have more than one pixel. The test uses the
    device "meta", without memory or arithmetic.
    """
    tensors = {name: tensor.to("meta") for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            given = inputs if isinstance(inputs, tuple) else (inputs,)
            functional_call(model.train(), tensors, tuple(each.to("meta") for each in given))
    except ValueError:  # "Expected more than 1 value per channel when training"
        return False
    return True


def misfit(config: Any, inputs: tuple[int, ...], smallest: int | None, error: Exception) -> Refused:
    """Return the Refused for images (C, H, W) that a network does not accept; it accepts ``smallest`` pixels a side."""
    _, height, width = inputs
    name = getattr(config, "arch", config.name)
    if smallest is not None and smallest > min(height, width):
        return Refused(
            f"images of {height}×{width} are too small for {name}: wanted at least {smallest}×{smallest}",
            f"dataset.resize={smallest} or more",
        )
    return Refused(f"images of {height}×{width} do not fit {name}: {error}", "try dataset.resize=224")


def freeze(model: nn.Module, patterns: list[str]) -> None:
    """Exclude from training the parameters whose names match one of ``patterns`` (wildcards * and ?)."""
    parameters = dict(model.named_parameters())
    for pattern in patterns:
        found = [name for name in parameters if fnmatchcase(name, pattern)]
        if not found:
            names = ", ".join([*list(parameters)[:8], *(["…"] if len(parameters) > 8 else [])])
            raise Refused(
                f"model.freeze: no parameter is called {pattern} (have: {names})",
                "d2lrun summary lists them all; * matches any letters",
            )
        for name in found:
            parameters[name].requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in parameters.values()):
        raise Refused(f"model.freeze={patterns}: nothing is left to train", "leave at least one parameter out")
