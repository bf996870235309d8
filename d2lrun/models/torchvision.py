"""Any classification network of torchvision, untrained, for comparison with the book's networks."""

from __future__ import annotations

from typing import Any

from torch import nn

from d2lrun.config.schema import suggestion
from d2lrun.errors import Refused
from d2lrun.models.vision import torchvision


def build(*, inputs: tuple[int, int, int], classes: int, arch: str) -> nn.Module:
    """Images [B, C, H, W] -> logits [B, classes]; the first convolution takes C channels; no auxiliary heads.

    Raises Refused for an unknown name, ValueError or AssertionError if the network does not support the size.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        raise Refused(
            f"model.arch={arch}: no such network of torchvision{suggestion(arch, names)} (have: {', '.join(names)})",
            "take one of these names",
        )
    channels, height, width = inputs
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if arch.startswith("vit"):
        options["image_size"] = height
    if arch.startswith("maxvit"):
        options["input_size"] = (height, width)
    if arch in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    model = torchvision.models.get_model(arch, **options)
    if channels != 3:
        see(model, channels)
    return model


def see(model: nn.Module, channels: int) -> None:
    """Replace the first convolution with the same convolution for ``channels`` input channels."""
    name, first = next((name, layer) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d))
    options = {key: getattr(first, key) for key in ("kernel_size", "stride", "padding", "dilation")}
    owner, _, last = name.rpartition(".")
    conv = nn.Conv2d(channels, first.out_channels, bias=first.bias is not None, **options)
    setattr(model.get_submodule(owner), last, conv)
