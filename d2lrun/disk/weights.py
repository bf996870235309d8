"""Weights in .safetensors files: a run writes them, and another run may start from them (book 5.5, 13.2)."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from d2lrun.disk import files, locate
from d2lrun.disk.download import Found, Unusable
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused

STATE_DICTS = (".pth", ".pt")  # suffixes of the files that torch.save writes
LARGEST = 4 << 30  # bytes of such a file: torchvision's largest has 2.5 GB


def save(model: nn.Module, path: Path) -> None:
    """Write the model's parameters and buffers to a file."""
    files.write_atomic(path, content(model))


def content(model: nn.Module) -> bytes:
    """Return the content of a file with the parameters and buffers; shared ones are in it once, by their first name."""
    again = shared(model)
    tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items() if name not in again}
    return bytes(safetensors.torch.save(tensors))


def read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by name; raises Refused if it is not a valid .safetensors or .pth file."""
    if path.suffix.lower() in STATE_DICTS:
        try:
            return state_dict(locate.read(path, LARGEST, published_sum(path.name), archive=True))
        except Unusable as error:
            hint = "give a sound file; digits at the end of its name, as in -0123abcd.pth, are the first of its sha256"
            raise Refused(f"{path}: {error}", hint) from None
    try:
        with open(path, "rb", opener=files.regular):  # refuses a pipe or a device
            return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise Refused(f"{path} is not a sound .safetensors file: {error}", "restore it, or train again") from error


def state_dict(found: Found) -> dict[str, Tensor]:
    """Return the tensors of a file that torch.save wrote; nothing in it is imported or called. Raises Unusable."""
    wanted = "wanted a state dict, as torch.save(model.state_dict(), FILE) writes it"
    refuse_damaged(found)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensors = torch.load(io.BytesIO(found.content), map_location="cpu", weights_only=True)
    except Exception:  # unpickling foreign bytes can raise anything
        raise Unusable(f"it is damaged, or holds other things than tensors, which are never run; {wanted}") from None
    if not isinstance(tensors, dict):
        raise Unusable(f"it holds a {type(tensors).__name__}; {wanted}")
    if others := [str(name) for name, tensor in tensors.items() if not is_plain(tensor)]:
        raise Unusable(f"{', '.join(others[:3])}{', …' * (len(others) > 3)}: no plain tensor; {wanted}")
    return {str(name): tensor.detach() for name, tensor in tensors.items()}


def refuse_damaged(found: Found) -> None:
    """Raise Unusable if a part of a zip archive, as torch.save writes it, has another CRC-32, which torch ignores."""
    content = io.BytesIO(found.content)
    if not zipfile.is_zipfile(content):
        return
    try:
        bad = zipfile.ZipFile(content).testzip()
    except (zipfile.BadZipFile, NotImplementedError, OSError, EOFError, zlib.error) as error:
        raise Unusable(f"it is damaged: {error}") from None
    if bad:
        raise Unusable(f"it is damaged: {bad} has another CRC-32 than when it was written")


def is_plain(value: Any) -> bool:
    """Whether a value is a dense tensor in memory, of real numbers."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        and not value.is_complex()
    )


def published_sum(name: str) -> str | None:
    """Return the first digits of a sha256, 8 to 10, at the end of a name as resnet18-f37072fd.pth; None without."""
    found = re.search(r"-([0-9a-f]{8,10})\.pth$", name)
    return found[1] if found else None


def load(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Load all weights into the model; raises Refused if a name or a shape differs."""
    if problems := [*strange_names(model, weights), *strange_shapes(model, weights)]:
        raise Refused(f"the weights do not fit the model{rows(problems)}", "d2lrun summary shows what the model has")
    model.load_state_dict(weights, strict=False)  # shared weights are in the file only once


def begin_with(model: nn.Module, weights: dict[str, Tensor], classes: int, source: str) -> list[str]:
    """Load the weights of a run or file into the model, except a head with another number of classes.

    Returns the names that are not loaded: they differ only by the number of classes. Raises Refused for any other
    difference; its message names the ``source`` of the weights.
    """
    weights = with_counts(model, weights)
    problems = strange_names(model, weights)
    head = [] if problems else other_classes(model, weights, classes)
    weights = {name: tensor for name, tensor in weights.items() if name not in head}
    if problems := problems or strange_shapes(model, weights) or strange_values(model, weights):
        raise Refused(f"the weights of {source} do not fit the model{rows(problems)}", "d2lrun summary shows its names")
    model.load_state_dict(weights, strict=False)
    return head


def with_counts(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with the model's own counts of batches, if they have none, as files of before 2018."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name.endswith("num_batches_tracked")}
    return {**own, **weights}


def find(source: str) -> Path:
    """Return the weights file of ``model.weights``: the file itself, or that in a run's directory; raises Refused."""
    path = Path(source).expanduser()
    if not path.exists():
        raise Refused(f"{path}: no such file", "give a run's directory, a .safetensors file or a .pth file")
    if not path.is_dir():
        return path
    inside = RunDirectory(path).weights_file
    if not inside.exists():
        RunDirectory(path).refuse_folds()
        raise Refused(f"model.weights={source}: no {inside.name} in it", "a run writes it when it has finished")
    return inside


def other_classes(model: nn.Module, weights: dict[str, Tensor], classes: int) -> list[str]:
    """Return the names of the head if ``weights`` have another number of classes than the model; else none."""
    own = model.state_dict()
    last = list(dict(model.named_parameters()))[-1]
    part = last.partition(".")[0] + "."  # the head is the last part of the model
    theirs = len(weights[last]) if weights[last].dim() else None
    fitted = {name: tuple(classes if side == theirs else side for side in weights[name].shape) for name in weights}
    other = [name for name in weights if weights[name].shape != own[name].shape and fitted[name] == own[name].shape]
    return [name for name in other if name.startswith(part)]


def strange_names(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Return a line for each name that only the model or only ``weights`` has."""
    own, again = model.state_dict(), shared(model)
    missing = [f"{name}: missing" for name in own if name not in weights and name not in again]
    return missing + [f"{name}: the model has no such parameter" for name in weights if name not in own]


def strange_shapes(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Return a line for each weight whose shape differs from the model's."""
    own = model.state_dict()
    return [
        f"{name}: {sides(weights[name])} given, {sides(own[name])} wanted"
        for name in own
        if name in weights and weights[name].shape != own[name].shape and own[name].numel()  # empty: of any length
    ]


def strange_values(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Return a line for each weight that is an integer and should be a float, or that is not finite."""
    own = model.state_dict()
    floats = [name for name in own if name in weights and own[name].is_floating_point()]
    whole = [name for name in floats if not weights[name].is_floating_point()]
    rows = [f"{name}: {str(weights[name].dtype).removeprefix('torch.')} given, a float wanted" for name in whole]
    return rows + [
        f"{name}: some values are not finite"
        for name in floats
        if name not in whole and not weights[name].isfinite().all()
    ]


def shared(model: nn.Module) -> set[str]:
    """Return the names of parameters that share the memory of an earlier parameter."""
    first: dict[tuple[int, int], str] = {}
    named = model.named_parameters(remove_duplicate=False)
    return {name for name, parameter in named if first.setdefault(identity(parameter), name) != name}


def identity(parameter: Tensor) -> tuple[int, int]:
    """Return a value that is equal for parameters with the same memory, even if they are different objects."""
    return parameter.data_ptr(), parameter.numel()


def sides(tensor: torch.Tensor) -> str:
    """Return the shape of a tensor as '5×3'."""
    return "×".join(map(str, tensor.shape)) or "1"


def rows(problems: list[str]) -> str:
    """Return at most ten indented lines."""
    rest = [f"and {len(problems) - 10} more"] if len(problems) > 10 else []
    return "".join(f"\n  {problem}" for problem in [*problems[:10], *rest])
