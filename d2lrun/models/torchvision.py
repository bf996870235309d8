"""Any classification network of torchvision, untrained or with its published weights of ImageNet (book 13.2)."""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from torch import Tensor, nn

from d2lrun.config.schema import suggestion
from d2lrun.disk import weights
from d2lrun.disk.download import Unusable
from d2lrun.disk.locate import Files, Progress, Say, locate
from d2lrun.errors import Refused
from d2lrun.models.inputs import COLOURED, IMAGENET
from d2lrun.models.vision import torchvision


def build(*, inputs: tuple[int, int, int], classes: int, arch: str, pretrained: bool = False) -> nn.Module:
    """Images [B, C, H, W] -> logits [B, classes]; the first convolution takes C channels; no auxiliary heads.

    If ``pretrained``, the network is as its published weights need it, which ``published`` returns. Raises Refused for
    an unknown name, ValueError or AssertionError if the network does not support the size.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        raise Refused(
            f"model.arch={arch}: no such network of torchvision{suggestion(arch, names)} (have: {', '.join(names)})",
            "take one of these names",
        )
    channels, height, width = inputs
    if pretrained and channels != 3:
        raise Refused(f"model.pretrained=true needs images of 3 channels, not {channels}", COLOURED)
    options: dict[str, Any] = {"weights": None, "num_classes": classes}
    if arch.startswith("vit"):
        options["image_size"] = height
    if arch.startswith("maxvit"):
        options["input_size"] = (height, width)
    if arch in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True, "transform_input": pretrained}
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


def published(arch: str, inputs: Any, say: Say, progress: Progress | None) -> tuple[str, dict[str, Tensor]]:
    """Return the path or URL of torchvision's best weights of ``arch``, and the tensors by name.

    The file is searched in D2LRUN_DATA, the cache and the cache of torch.hub, then fetched. Its sha256 must begin with
    the digits in its name. Raises Refused.
    """
    best = torchvision.models.get_model_weights(arch).DEFAULT
    given = best.transforms()
    if (tuple(given.mean), tuple(given.std)) != IMAGENET:
        what = "its weights need images that are normalised otherwise than by dataset.normalise=imagenet"
        raise Refused(f"model.arch={arch} model.pretrained=true: {what}", "take another model.arch")
    (side,) = given.crop_size
    if tuple(inputs)[1:] != (side, side):
        say(f"the weights of {arch} were trained on images of {side}×{side}; here they have {inputs[1]}×{inputs[2]}")
    address, _, name = best.url.rpartition("/")
    files = Files(
        "torchvision",
        {name: weights.published_sum(name) or "none in its name"},
        weights.LARGEST,
        layouts=("checkpoints", "hub/checkpoints"),
        system=os.path.join(torch.hub.get_dir(), "checkpoints"),
        suffix="",
        fetch=None,
        archive=True,
        by_dir=False,
        instead=f"fetch {best.url} on another machine and give model.weights=FILE in place of model.pretrained=true",
    )
    found = locate(files, None, [address], say, progress)[name]
    try:
        return found.origin, weights.state_dict(found)
    except Unusable as error:
        raise Refused(f"{found.origin}: {error}", "this version of torchvision publishes another format") from None


def adapted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of torchvision's file by the names of the network, without auxiliary heads.

    The files of DenseNet have the names of an early version: norm.1 is norm1 now.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(("aux1.", "aux2.", "AuxLogits."))}
    early = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
    return {early.sub(r"\1\2", name): tensor for name, tensor in kept.items()}
