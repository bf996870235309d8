"""Errors in the file of a network, reported with file and line."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn

from d2lrun.config.code import place_of, shown
from d2lrun.counts import counted
from d2lrun.errors import Refused
from d2lrun.models.inputs import Inputs, Pairs, Stream, example_of, outputs_of
from d2lrun.models.translator import Translator

# The errors that Python raises for a mistake in code; a network itself raises ValueError for values that do not fit.
MISTAKES = (SyntaxError, ImportError, AttributeError, NameError, TypeError, LookupError, NotImplementedError)
HINT = "correct the network; --debug shows the whole traceback"


def file_of(name: str) -> Path:
    """Return the file of the network with this name in the table MODELS."""
    return Path(__file__).with_name(f"{name.replace('-', '_')}.py")


def mistake(name: str, error: BaseException) -> Refused:
    """Return the Refused for a mistake in the code of a network."""
    path = file_of(name)
    if isinstance(error, SyntaxError):
        return Refused(f"{shown(Path(error.filename or path))}:{error.lineno}: not valid Python: {error.msg}", HINT)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    where = f"{shown(path)}:{lines[-1]}" if lines else shown(path)
    return Refused(f"{where}: {type(error).__name__}: {error}", HINT)


def mistake_of_user(name: str, error: BaseException, inputs: Inputs) -> Refused:
    """Return the Refused for an error in a network that was added: its line, and the inputs of the network."""
    error = error.__cause__ if type(error) is ValueError and error.__cause__ else error
    shapes = " and ".join(str(list(each.shape)) for each in example_of(inputs))
    message = f"{place_of(error)}model={name}: {type(error).__name__}: {error}"
    return Refused(message, f"correct the network; it is given {shapes}")


def check_network(name: str, model: Any, inputs: Inputs | None = None) -> None:
    """Raise Refused if what the user's code returned is not a network that can be trained."""
    if not isinstance(model, nn.Module):
        raise Refused(f"model={name}: it returns a {type(model).__name__}, not an nn.Module", "return the network")
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise Refused(f"model={name}: it has no parameters to train", "leave requires_grad of some at True")
    state = model.state_dict()
    if lost := [key for key, _ in model.named_parameters(remove_duplicate=False) if key not in state]:
        raise Refused(f"model={name}: its state lacks {lost[0]}", "let state_dict return all parameters")
    for key, value in state.items():
        if not isinstance(value, torch.Tensor):
            hint = "keep it in an attribute or a buffer, without get_extra_state"
            raise Refused(f"model={name}: its state {key} is a {type(value).__name__}, not a tensor", hint)
    if isinstance(inputs, Pairs) and not isinstance(model, Translator):
        hint = "give it the methods start, step, select and weights, as in d2lrun/models/translator.py"
        raise Refused(f"model={name}: a {type(model).__name__} cannot translate token by token", hint)


def check_outputs(name: str, outputs: Any, inputs: Inputs, classes: int) -> None:
    """Raise Refused if the outputs of the user's network for a batch of one example have another form."""
    wanted, logits = outputs_of(inputs, classes), outputs
    if isinstance(inputs, Stream):
        logits, state = outputs if isinstance(outputs, tuple) and len(outputs) == 2 else (None, None)
        parts = state if isinstance(state, tuple) else (state,)
        if logits is None or not (state is None or all(isinstance(each, torch.Tensor) for each in parts)):
            hint = (
                "the state after the window is None, a tensor or a tuple of tensors; it is given with the next window"
            )
            raise Refused(f"model={name}: its output is {described(outputs)}, wanted (logits, state)", hint)
    shape = ", ".join("T" if side is None else str(side) for side in wanted)
    if not isinstance(logits, torch.Tensor):
        hint = "return the tensor alone"
        raise Refused(f"model={name}: its output is {described(logits)}, wanted a tensor [{shape}]", hint)
    found = list(logits.shape)
    if len(found) != len(wanted) or not all(side in (None, one) for side, one in zip(wanted, found, strict=True)):
        raise Refused(
            f"model={name}: its output for one example is {found}, wanted [{shape}]",
            f"its last layer needs {counted(wanted[-1] or 0, 'output')}",
        )


def described(value: Any) -> str:
    """Return the type of a value, of a tuple with those of its parts, such as a tuple of Tensor, NoneType."""
    inner = f" of {', '.join(type(each).__name__ for each in value)}" if isinstance(value, tuple) else ""
    return f"a {type(value).__name__}{inner}"


def check_file(name: str) -> None:
    """Raise Refused if the table MODELS has a line for a network without a file."""
    if not file_of(name).is_file():
        raise Refused(
            f"model={name}: its file {shown(file_of(name))} is missing",
            "write the network into it, or remove its line from the table MODELS in d2lrun/config/tables.py",
        )


def attribute(name: str, module: Any, wanted: str) -> Callable[..., nn.Module]:
    """Return the class or function of a module that the table MODELS names; raises Refused if there is none."""
    if hasattr(module, wanted):
        return getattr(module, wanted)
    own = [each for each, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    raise Refused(
        f"{shown(file_of(name))}: no {wanted} in it, which the table MODELS names (have: {', '.join(own)})",
        "give it that name, or change the line in d2lrun/config/tables.py",
    )


def check_arguments(name: str, make: Callable[..., nn.Module], given: dict[str, Any]) -> None:
    """Raise Refused if the arguments of a network are not exactly ``given``, the keys of its config."""
    parameters = inspect.signature(make).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    needed = [each.name for each in parameters if each.default is each.empty and each.kind is not each.VAR_POSITIONAL]
    missing = [each for each in needed if each not in given]
    strange = [each for each in given if each not in [each.name for each in parameters]]
    if missing or strange:
        made_by = make.__init__ if isinstance(make, type) else make  # type: ignore[misc]
        line = inspect.getsourcelines(made_by)[1]
        problems = [f"it wants {', '.join(missing)}, which is not given"] if missing else []
        problems += [f"it does not take {', '.join(strange)}"] if strange else []
        raise Refused(
            f"{shown(file_of(name))}:{line}: {make.__name__}: {'; '.join(problems)}",
            "a network takes inputs, classes and the arguments of its line in MODELS of d2lrun/config/tables.py",
        )


def wrong_size(name: str, make: Callable[..., nn.Module], inputs: tuple[int, ...], error: Exception) -> Refused:
    """Return the Refused for a network that accepts no size of image (C, H, W): the layer that fails, and its line."""
    path, lines, entered = file_of(name), {}, []
    original = nn.Module.__init__

    def init(self: nn.Module, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        frame: FrameType | None = sys._getframe(1)
        while frame and Path(frame.f_code.co_filename) != path:
            frame = frame.f_back
        if frame:
            lines[id(self)] = frame.f_lineno

    nn.Module.__init__ = init  # type: ignore[method-assign]
    try:
        model = make(inputs=inputs).eval()
    except Exception as failure:
        return mistake(name, failure)
    finally:
        nn.Module.__init__ = original  # type: ignore[method-assign]
    for layer in model.modules():
        if not any(layer.children()):
            layer.register_forward_pre_hook(lambda layer, given: entered.append((layer, given)))
            layer.register_forward_hook(lambda layer, given, out: entered.clear())
    try:
        with torch.inference_mode():
            model(torch.zeros(1, *inputs))
    except Exception as failure:
        error = failure
    if not entered:
        return mistake(name, error)
    layer, (given, *_) = entered[-1]
    return Refused(
        f"{shown(path)}:{lines.get(id(layer), '?')}: {layer} gets {'×'.join(map(str, given.shape))}: {error}", HINT
    )
