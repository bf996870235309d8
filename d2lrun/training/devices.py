"""The device of a run and its settings: precision, memory order, compilation, determinism."""

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
EXACT_OUTPUTS = 1000  # a last layer with at most so many outputs computes in fp32; for a large vocabulary it is slow
MIXED = {"bf16": torch.bfloat16, "fp16": torch.float16}  # fp32 weights; products in the shorter type


def available() -> list[str]:
    """Return the devices of this machine, fastest first."""
    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return [*found, "cpu"]


def resolve(name: str) -> torch.device:
    """Return the device with this name (``auto``: the fastest); raises Refused if it is not available."""
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
    """Hold one of several GPUs, so that runs at the same time use different GPUs; without several, do nothing.

    If there are more runs than GPUs, they share them. Nothing happens either if a launcher such as Slurm's gives each
    run its own GPU, or if the config names a GPU, such as cuda:1.
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
    """Return the lock file of the GPU ``index`` (as this process counts), for this user on this machine."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    name = visible[index] if index < len(visible) and visible[index] else str(index)
    user = os.getuid() if hasattr(os, "getuid") else ""  # on Windows each user has a temporary folder
    return Path(tempfile.gettempdir()) / f"d2lrun-gpus-{user}" / name / ".lock"


def precisions(device: torch.device) -> list[str]:
    """Return the precisions that the device supports in hardware; the others would be slower than fp32."""
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
    """Return the device of the config group ``device`` and apply its settings; raises Refused if it is not available.

    ``began`` is the number of threads that the run started with, if it is known: another number may change the bits
    of the result. The settings are global in torch, so each job of a sweep sets them again.
    """
    device = resolve(config.name)
    if device.index is not None:
        torch.cuda.set_device(device)  # so calls that name no device use its generator and memory
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
        backend.fp32_precision = products  # torch's default is tf32 for convolutions
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS raises an error
    if torch.are_deterministic_algorithms_enabled() != config.deterministic:
        torch.use_deterministic_algorithms(config.deterministic)  # this imports the compiler, which takes 0.5 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # no kernel here reads memory before it writes it
    return device


def share(config: Any, model: nn.Module, units: int) -> None:
    """Set the number of threads for training steps of ``units`` examples or tokens, unless the user has set it."""
    if config.threads is None and "OMP_NUM_THREADS" not in os.environ:
        parameters = sum(parameter.numel() for parameter in model.parameters())
        torch.set_num_threads(threads.enough(parameters, units, THREADS))


def compiler_missing(device: torch.device) -> str | None:
    """Return what torch.compile needs and this machine does not have; None if nothing is known to be missing."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "it needs the package triton, which is not installed"
    if device.type == "cpu" and not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))):
        return "it needs a C++ compiler, and none is on the PATH"
    return None


def place(model: nn.Module, device: torch.device, config: Any) -> nn.Module:
    """Move the model to its device, and set the precision and compilation of its forward pass; return the model."""
    memory_format = torch.channels_last if config.channels_last else torch.preserve_format
    model.to(device, memory_format=memory_format)  # type: ignore[call-overload]
    last = last_layer(model) if config.precision in MIXED else None
    if last is not None and len(last.weight) <= EXACT_OUTPUTS:
        last.forward = in_float32(last.forward, device)  # type: ignore[method-assign]
    if config.precision in MIXED or config.compile:
        model.forward = wrapped(model.forward, device, MIXED.get(config.precision))
    if config.compile:  # compile for each shape separately, so that a resumed run gets the same bits
        model.forward = torch.compile(model.forward, dynamic=False)
    return model


def last_layer(model: nn.Module) -> nn.Linear | nn.Conv2d | None:
    """Return the layer that computes the logits or predictions: the last registered layer with weights."""
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    return layers[-1] if layers else None


def in_float32(forward: Any, device: torch.device) -> Any:
    """Return the forward pass of a layer without autocast: the 8 bits of bf16 are too few for a price."""

    def computed(inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, enabled=False):
            return forward(inputs.float())

    return computed


def wrapped(forward: Any, device: torch.device, dtype: torch.dtype | None) -> Any:
    """Return the forward pass, under autocast if ``dtype`` is given; its output is float32, for the loss.

    Also without ``dtype`` this is a new function: torch.compile skips functions defined in torch, such as the forward
    pass of nn.Sequential.
    """

    def in_precision(*inputs: Any) -> Any:
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            outputs = forward(*inputs)
        if dtype is not None and not torch.compiler.is_compiling():
            torch.clear_autocast_cache()  # inside autocast of the user it keeps the weights before the next step
        if isinstance(outputs, torch.Tensor):
            return outputs.float()
        return outputs[0].float(), *outputs[1:]  # a recurrent network also returns the hidden state

    return in_precision


def scaler(device: torch.device, config: Any) -> torch.amp.GradScaler:
    """Return a scaler of the loss, so that gradients do not vanish in fp16; disabled in other precisions."""
    return torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the states of the random generators that dropout uses, for a checkpoint."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = getattr(torch, device.type).get_rng_state()
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Set the random generators that ``device`` uses; if the state is from another device, only the CPU's."""
    torch.set_rng_state(state["cpu"])
    if device.type in state and device.type != "cpu":
        getattr(torch, device.type).set_rng_state(state[device.type])


def device_of(state: dict[str, torch.Tensor]) -> str:
    """Return the kind of device on which a state of the generators was saved."""
    return next((name for name in state if name != "cpu"), "cpu")
