"""A network that is given in Python, as the option ``model=NAME`` of a config.

It is an nn.Module, or a class or function that makes one. Its name is that of its class and the beginning of a
fingerprint of its code and structure, so another network has another name and another run.
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.config import registry
from d2lrun.config.code import fingerprint
from d2lrun.config.keys import Config
from d2lrun.config.tables import INPUTS, MODELS, Added, Network, Source
from d2lrun.errors import Refused

if TYPE_CHECKING:
    from torch import nn

SHOWN = 6  # digits of the fingerprint in a name
LONGEST = 40  # letters of the class in it


def option_of(given: Any, folder: Path | None) -> str:
    """Register a network and return the name of its option; raises Refused.

    A new run of an instance begins with the weights that it has now, which are written to ``folder``; None if the run
    has its weights. The instance is copied, and never trained itself. A class or function is called in each run, so its
    weights follow from the run's seed.
    """
    digits = fingerprint_of(given)
    if name := registered(given, digits):
        return name
    is_instance = is_network(given)
    made = given.func if isinstance(given, partial) else type(given) if is_instance else given
    letters = re.sub(r"[^A-Za-z0-9_]+", "", registry.name_of(made)).lstrip("_0123456789")[:LONGEST]
    name = f"{letters or 'network'}-{digits[:SHOWN]}"
    if is_instance:
        kept = copied(given)
        make = registry.taking(lambda: copied(kept), registry.GIVEN)
        values = {"weights": str(written(kept, folder))} if folder and not is_lazy(kept) else {}
    else:
        refuse_needs(made, given)
        make, values = registry.taking(given, registry.GIVEN), {}
    code = None if is_instance else given
    added = Added(make, Source(None, digits), values, code=code, lazy=is_instance and is_lazy(kept))
    registry.add("model", name, Network(name, inputs=tuple(INPUTS), added=added))
    return name


def fingerprint_of(given: Any) -> str:
    """Return the fingerprint of a network, class or function; raises Refused if its code cannot be read."""
    try:
        strange = [each for each in given.modules() if is_compiled(each)] if is_network(given) else []
        if not strange:
            return fingerprint(given)
    except Exception as error:  # a property or a __hash__ of the user, or values that are nested too deep
        raise Refused(f"model: a {type(given).__name__}: {type(error).__name__}: {error}", "give its class") from error
    raise Refused(
        f"model: a {type(strange[0]).__name__} holds compiled code, which cannot be compared",
        "give the module that was compiled; device.compile=true compiles it",
    )


def is_network(given: Any) -> bool:
    """Whether it is an nn.Module, and not a class or function that makes one."""
    return hasattr(given, "named_parameters") and not isinstance(given, type)


def is_compiled(module: nn.Module) -> bool:
    """Whether a module is what torch.compile, torch.jit.script or torch.jit.trace returned."""
    import torch

    return hasattr(module, "_orig_mod") or isinstance(module, torch.jit.ScriptModule)


def registered(given: Any, digits: str) -> str | None:
    """Return the name that a class or function with this fingerprint is registered by; None else."""
    for name, line in MODELS.items():
        added = line.added
        if added and inspect.unwrap(added.make) is given and (added.source.path or added.source.sha256 == digits):
            return name
    return None


def options_of(given: Any, folder: Path) -> Any:
    """Return a value of the keyword argument ``model`` with the names of options in place of networks."""
    if not isinstance(given, (list, tuple)):
        return option_of(given, folder) if callable(given) else given
    names = [option_of(each, folder) if callable(each) else each for each in given]
    if again := next((name for place, name in enumerate(names) if name in names[:place]), None):
        raise Refused(f"model: {again} is given twice", "sweep over seed to train a network several times")
    return names


def copied(network: nn.Module) -> nn.Module:
    """Return a copy of a network on the CPU; raises Refused."""
    try:
        return copy.deepcopy(network).cpu()
    except Exception as error:  # an attribute such as a lock or an open file
        hint = "give its class, or a function that makes it"
        raise Refused(f"{type(network).__name__} cannot be copied: {error}", hint) from error


def refuse_needs(made: Any, given: Any) -> None:
    """Raise Refused if a class or function needs arguments that are not given to it."""
    try:
        parameters = inspect.signature(given).parameters.values()
    except (TypeError, ValueError) as error:
        raise Refused(
            f"model={given!r}: {error}", "give an nn.Module, or a class or function that makes one"
        ) from error
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [each.name for each in parameters if each.default is each.empty and each.kind not in variadic]
    if missing := [name for name in needed if name not in registry.GIVEN]:
        listed = ", ".join(f"{name}=…" for name in missing)
        raise Refused(
            f"model={registry.name_of(made)}: it needs {', '.join(missing)}",
            f"give functools.partial({registry.name_of(made)}, {listed})",
        )


def is_lazy(network: nn.Module) -> bool:
    """Whether a layer of the network gets its parameters with the first inputs, such as nn.LazyLinear."""
    return any("Uninitialized" in type(each).__name__ for each in (*network.parameters(), *network.buffers()))


def written(network: nn.Module, folder: Path) -> Path:
    """Write the weights to a file that is named by its content, and return its path."""
    from d2lrun.disk import files, weights
    from d2lrun.models import faults

    faults.check_network(type(network).__name__, network)
    content = weights.content(network)
    return files.write_named(folder / f"{hashlib.sha256(content).hexdigest()[:16]}.safetensors", content)


def completed(config: Config) -> Config:
    """Return the config of a run; an instance with lazy layers gets their weights from the run's seed."""
    line = MODELS[config.model.name]
    if not (line.added and line.added.lazy) or config.model.weights is not None:
        return config
    import torch

    from d2lrun import datasets, models

    inputs, classes = datasets.form(config)
    torch.manual_seed(config.seed)
    folder = Path(config.run.root).expanduser() / "data"
    path = written(models.build(config.model, inputs, classes), folder)
    return replace(config, model=replace(config.model, weights=str(path)))


def give(given: Any, config: Config) -> None:
    """Register the network of a run again; raises Refused if it is another one."""
    if given is None:
        return
    name = option_of(given, None)
    if name != config.model.name:
        raise Refused(
            f"model: {name} is given, the run has {config.model.name}: the code or the structure differs",
            "give what the run began with: the class, or an instance",
        )
