"""Where a run computes, and how: device, precision, memory order, compilation, determinism."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from d2lrun.config.keys import Device
from d2lrun.disk import files
from d2lrun.errors import InUse, Refused
from d2lrun.training import threads

THREADS = torch.get_num_threads()  # torch's own choice
EXACT_OUTPUTS = 1000  # of a last layer that computes in fp32 in any precision; for a large vocabulary that is slow
MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}  # fp32 weights; products in the shorter type


def available() -> list[str]:
    """The devices of this machine, fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def resolve(name: str) -> torch.device:
    """The device of that name, ``auto`` being the fastest; raises Refused for one that is not there."""
    have = available()
    if name == "auto":
        name = have[0]
    if "cuda" in have and name.startswith("cuda:"):
        have += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name not in have:
        raise Refused(
            f"device={name}: {name} is not available (torch {torch.__version__}); have: {', '.join(have)}",
            "take one of these, or device=auto for the fastest; d2lrun doctor shows what torch sees",
        )
    return torch.device(name)


@contextmanager
def a_gpu(config: Device) -> Iterator[None]:
    """Hold one of several GPUs, so that runs at the same time take one each; with one GPU or none nothing happens.

    Where there are more runs than GPUs they are shared. A launcher that shows each run a GPU of its own, such as
    Slurm's, leaves nothing to do, and so does a name such as cuda:1, which chooses for itself.
    """
    count = torch.cuda.device_count() if config.name in ("auto", "cuda") else 0
    with ExitStack() as held:
        for index in range(count) if count > 1 else ():
            try:
                held.enter_context(files.lock(gpu_lock(index)))
            except InUse:
                continue
            torch.cuda.set_device(index)
            break
        else:
            if count > 1:
                torch.cuda.set_device(os.getpid() % count)
        yield


def gpu_lock(index: int) -> Path:
    """What the holder of the GPU that this process sees at ``index`` has locked: on this machine, of this user."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = visible[index] if index < len(visible) and visible[index] else str(index)
    user = os.getuid() if hasattr(os, "getuid") else ""  # elsewhere the folder is the user's own
    return Path(tempfile.gettempdir()) / f"d2lrun-gpus-{user}" / name / ".lock"


def precisions(device: torch.device) -> list[str]:
    """What the device computes in by its own hardware; the others would be slower than fp32."""
    if device.type == "cuda":
        nvidia = torch.version.cuda is not None
        modern = nvidia and torch.cuda.get_device_capability(device) >= (8, 0)
        tf32 = ["tf32"] if modern else []
        bf16 = ["bf16"] if torch.cuda.is_bf16_supported(including_emulation=False) else []
        return ["fp32", *tf32, *bf16, "fp16"]
    if device.type == "mps":
        return ["fp32", *(["bf16"] if torch.backends.mps.is_macos_or_newer(14, 0) else []), "fp16"]
    if not torch.backends.mkldnn.is_available():
        return ["fp32"]
    bf16 = ["bf16"] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else []
    return ["fp32", *bf16, *(["fp16"] if torch.ops.mkldnn._is_mkldnn_fp16_supported() else [])]


def prepare(config: Any, began: int | None = None) -> torch.device:
    """The device of the config group ``device``, with torch set as it says; raises Refused for what is not there.

    ``began`` is the number of threads that a run was begun with, if it is known: with another one its bits would
    change. The settings are torch's own and hold for the whole process: each job of a sweep makes them anew.
    """
    device = resolve(config.name)
    if device.index is not None:
        torch.cuda.set_device(device)  # whose random generator and memory are meant wherever none is named
    have = precisions(device)
    if config.precision not in have:
        raise Refused(
            f"device.precision={config.precision}: not in the hardware of this {device.type}; have: {', '.join(have)}",
            f"device.precision={have[1] if len(have) > 1 else have[0]}",
        )
    if config.compile and (missing := compiler_missing(device)):
        raise Refused(f"device.compile=true: {missing}", "device.compile=false")
    torch.set_num_threads(config.threads or (began if began and began <= threads.cores() else THREADS))
    if device.type == "cpu":
        threads.adapt()
    products = "tf32" if config.precision == "tf32" else "ieee"
    backends: Any = torch.backends  # whose types lack these
    for backend in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
        backend.fp32_precision = products  # torch's own default would be tf32 for convolutions
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # or cuBLAS refuses
    if torch.are_deterministic_algorithms_enabled() != config.deterministic:
        torch.use_deterministic_algorithms(config.deterministic)  # which imports the compiler: half a second
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no kernel here reads what it has not written
    return device


def share(config: Any, model: nn.Module, units: int) -> None:
    """Set the number of threads for training steps of so many examples or tokens, unless the user has chosen one."""
    if config.threads is None and "OMP_NUM_THREADS" not in os.environ:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        torch.set_num_threads(threads.enough(parameters, units, THREADS))


def compiler_missing(device: torch.device) -> str | None:
    """What torch.compile lacks on this machine; None if nothing is known to be missing."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "it needs the package triton, which is not installed"
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))):
        return "it needs a C++ compiler, and none is on the PATH"
    return None


def place(model: nn.Module, device: torch.device, config: Any) -> nn.Module:
    """The model on its device, its forward pass in the precision and compiled as the group ``device`` says."""
    memory_format = torch.channels_last if config.channels_last else torch.preserve_format
    model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    last = last_layer(model) if config.precision in MIXED else None
    if last is not None and len(last.weight) <= EXACT_OUTPUTS:
        last.forward = in_float32(last.forward, device)  # type: ignore[method-assign]
    if config.precision in MIXED or config.compile:
        model.forward = wrapped(model.forward, device, MIXED.get(config.precision))
    if config.compile:  # code for each shape by itself, whatever came before: a resumed run gets the same bits
        model.forward = torch.compile(model.forward, dynamic=False)
    return model


def last_layer(model: nn.Module) -> nn.Linear | nn.Conv2d | None:
    """The layer that computes the logits or the predicted numbers: of all with weights, the one made last."""
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    return layers[-1] if layers else None


def in_float32(forward: Any, device: torch.device) -> Any:
    """The forward pass of a layer outside of autocast: bf16 has 8 bits, too few for a price."""

    def computed(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, enabled=False):
            return forward(inputs.float())

    return computed


def wrapped(forward: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """The forward pass under autocast where a type is given; what comes out is float32 again, for the loss.

    A function of ours even without one: torch.compile passes over what is defined in torch, such as the forward
    pass of an nn.Sequential.
    """

    def in_precision(*inputs: Any) -> Any:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            outputs = forward(*inputs)
        if isinstance(outputs, torch.Tensor):
            return outputs.float()
        return outputs[0].float(), *outputs[1:]  # of a recurrent network also the hidden state

    return in_precision


def scaler(device: torch.device, config: Any) -> torch.amp.GradScaler:
    """Scales the loss where gradients would vanish in fp16; does nothing in any other precision."""
    return torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The random generators that dropout draws from, as a checkpoint keeps them."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = getattr(torch, device.type).get_rng_state()
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set the generators that ``device`` draws from; of a state from another device only that of the CPU."""
    torch.set_rng_state(state["cpu"])
    if device.type in state and device.type != "cpu":
        getattr(torch, device.type).set_rng_state(state[device.type])


def device_of(state: dict[str, torch.Tensor]) -> str:
    """The kind of device on which a state of the generators was saved."""
    return next((name for name in state if name != "cpu"), "cpu")
