"""What code without a word of a type, a device or gradients computes with, whatever the user's code has set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def numbers() -> Iterator[None]:
    """Compute with float32 and gradients on the CPU by default, whatever the defaults are; then give them back.

    Without torch nothing happens: nobody has changed its defaults.
    """
    if sys.modules.get("torch") is None:  # None: its import is forbidden
        yield
        return
    import torch

    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    mixed = {kind: torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda", "mps")}
    torch.set_default_dtype(torch.float32)
    for kind in mixed:  # a context of autocast around a run would keep its copies of the weights
        torch.set_autocast_enabled(kind, False)
    try:
        with ExitStack() as after:
            after.enter_context(torch.inference_mode(False))
            after.enter_context(torch.enable_grad())
            if device.type != "cpu":
                after.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)
        for kind, enabled in mixed.items():
            torch.set_autocast_enabled(kind, enabled)
