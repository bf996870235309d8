"""Where a run computes."""

from __future__ import annotations

import torch
from torch import nn

from d2lrun.errors import Refused


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
    if name not in have:
        raise Refused(
            f"device={name}: {name} is not available (torch {torch.__version__}); have: {', '.join(have)}",
            "take one of these, or device=auto for the fastest; d2lrun doctor shows what torch sees",
        )
    return torch.device(name)


def place(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on its device, the weights of convolutions channels last: an eighth faster for LeNet on a CPU."""
    return model.to(device, memory_format=torch.channels_last)


def set_threads(threads: int | None) -> None:
    """Let torch's CPU kernels use so many threads; None leaves it to torch."""
    if threads is not None:
        torch.set_num_threads(threads)


def rng_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The random generators that dropout draws from, as a checkpoint keeps them."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = getattr(torch, device.type).get_rng_state()
    return state


def set_rng_state(state: dict[str, torch.Tensor]) -> None:
    for name, value in state.items():
        generator = torch if name == "cpu" else getattr(torch, name)
        generator.set_rng_state(value)
