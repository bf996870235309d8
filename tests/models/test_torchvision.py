from __future__ import annotations

import pytest
import torch
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.errors import Refused
from d2lrun.models.torchvision import build
from d2lrun.models.vision import torchvision
from tests.bits import same_bits

NAMES = torchvision.models.list_models(module=torchvision.models)
CALCULATED = [name for name in NAMES if name.startswith("regnet")]  # their widths, with tensors: not on "meta"
SAMPLE = ("resnet18", "vgg11", "squeezenet1_0", "mobilenet_v3_small", "googlenet", "vit_b_32", "convnext_tiny")


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_every_network_of_torchvision_is_seen():
    assert len(NAMES) >= 80
    assert len(CALCULATED) == 15


@pytest.mark.parametrize("arch", sorted({*NAMES} - {*CALCULATED}))
def test_every_network_takes_one_channel(arch):
    with torch.device("meta"):
        model = build(inputs=(1, 224, 224), classes=10, arch=arch)
        assert model(torch.empty(2, 1, 224, 224)).shape == (2, 10)


@torch.no_grad()
@pytest.mark.parametrize("arch", [*SAMPLE, "regnet_x_400mf"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_logits_out(arch, channels):
    model = models.build(compose(["model=torchvision", f"model.arch={arch}"]).model, (channels, 64, 64), 10)
    assert model(torch.rand(2, channels, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("arch", SAMPLE)
def test_three_channels_leave_torchvisions_network_as_it_is(arch):
    options = {"init_weights": True, "aux_logits": False} if arch == "googlenet" else {}
    with torch.device("meta"):
        theirs = torchvision.models.get_model(arch, weights=None, num_classes=10, **options)
        ours = build(inputs=(3, 224, 224), classes=10, arch=arch)
    shapes = [{name: tensor.shape for name, tensor in model.state_dict().items()} for model in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("arch", SAMPLE)
def test_one_channel_changes_the_first_convolution_alone(arch):
    with torch.device("meta"):
        grey, colour = (build(inputs=(channels, 64, 64), classes=10, arch=arch).state_dict() for channels in (1, 3))
    (name,) = [name for name in colour if grey[name].shape != colour[name].shape]
    out, _, *kernel = colour[name].shape
    assert grey[name].shape == (out, 1, *kernel)


def test_the_first_convolution_moves_as_before():
    networks = [build(inputs=(channels, 64, 64), classes=10, arch="resnet18") for channels in (1, 3)]
    convs = [next(module for module in model.modules() if isinstance(module, nn.Conv2d)) for model in networks]
    for name in ("kernel_size", "stride", "padding", "dilation", "groups", "bias"):
        assert getattr(convs[0], name) == getattr(convs[1], name)


def test_the_weights_are_untrained_and_seeded():
    state = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        state.append(build(inputs=(1, 64, 64), classes=10, arch="squeezenet1_0").state_dict())
    assert same_bits(state[0], state[1])
    assert not torch.equal(state[0]["features.0.weight"], state[2]["features.0.weight"])


def test_an_unknown_network_is_refused_with_the_nearest_and_all_names():
    with pytest.raises(Refused) as caught:
        models.build(compose(["model=torchvision", "model.arch=resnet19"]).model, (1, 96, 96), 10)
    assert str(caught.value).startswith(
        "model.arch=resnet19: no such network of torchvision; did you mean resnet18? (have: alexnet, "
    )
    assert all(name in str(caught.value) for name in NAMES)


@pytest.mark.parametrize("arch", ["fcn_resnet50", "fasterrcnn_resnet50_fpn", "raft_small", "os.system", "", "../x"])
def test_what_does_not_classify_pictures_is_refused(arch):
    with pytest.raises(Refused, match="no such network of torchvision"):
        build(inputs=(1, 96, 96), classes=10, arch=arch)


@pytest.mark.parametrize("arch, side", [("alexnet", 63), ("inception_v3", 75), ("squeezenet1_0", 21), ("vit_b_16", 16)])
def test_images_that_are_too_small_are_refused_by_the_networks_own_name(arch, side):
    config = compose(["model=torchvision", f"model.arch={arch}"]).model
    with pytest.raises(Refused, match=f"too small for {arch}: wanted at least {side}×{side}$"):
        models.build(config, (1, side - 1, side - 1), 10)


def test_a_size_that_does_not_fit_is_refused():
    config = compose(["model=torchvision", "model.arch=vit_b_16"]).model
    with pytest.raises(Refused, match="images of 100×100 do not fit vit_b_16") as caught:
        models.build(config, (1, 100, 100), 10)
    assert caught.value.hint == "try dataset.resize=224"
