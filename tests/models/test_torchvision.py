from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.disk import files, weights
from d2lrun.errors import Refused
from d2lrun.models.inputs import IMAGENET
from d2lrun.models.torchvision import adapted, build, published
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


# --- published weights -------------------------------------------------------------------------------------------

SMALLEST = "shufflenet_v2_x0_5"
PRETRAINED = ("model=torchvision", f"model.arch={SMALLEST}", "model.pretrained=true", "dataset.normalise=imagenet")
COLOURED = (*PRETRAINED, "dataset.channels=3", "dataset.resize=32")


@pytest.fixture
def publish(monkeypatch, tmp_path):
    """``publish(address)``: a file of random weights of ImageNet as torchvision publishes them; nothing is in a cache.

    Returns its name, with the first digits of its sha256, its content, and its tensors.
    """
    monkeypatch.setenv("D2LRUN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("D2LRUN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def publish(address="http://127.0.0.1:9"):
        torch.manual_seed(7)
        tensors = torchvision.models.get_model(SMALLEST, weights=None).state_dict()
        torch.save(tensors, file := io.BytesIO())
        content = file.getvalue()
        name = f"{SMALLEST}-{files.sha256(content)[:8]}.pth"
        best = torchvision.models.get_model_weights(SMALLEST).DEFAULT
        other = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"{address}/{name}", transforms=best.transforms))
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda arch: other)
        return name, content, tensors

    return publish


def first_weights(said=None):
    config = compose([*COLOURED]).model
    return models.first_weights(config, (3, 32, 32), (said if said is not None else []).append, None)


@pytest.mark.parametrize(
    "place", ["data", "data/torchvision", "data/checkpoints", "cache/torchvision", "torch/hub/checkpoints"]
)
def test_published_weights_are_found_on_this_machine(publish, tmp_path, place):
    name, content, tensors = publish()
    (tmp_path / place).mkdir(parents=True)
    (tmp_path / place / name).write_bytes(content)
    source, found = first_weights()
    assert source == str(tmp_path / place / name)
    assert same_bits(found, tensors)


def test_published_weights_are_fetched_once(publish, tmp_path, mirror):
    name, content, tensors = publish(mirror.url)
    mirror.pages[f"/{name}"] = content
    (source, found), (again, same) = first_weights(), first_weights()
    assert (source, again) == (f"{mirror.url}/{name}", str(tmp_path / "cache" / "torchvision" / name))
    assert same_bits(found, tensors) and same_bits(same, tensors)
    assert mirror.requests[f"/{name}"] == 1


def test_weights_with_another_hash_are_refused_and_named(publish, tmp_path, mirror):
    name, content, _ = publish(mirror.url)
    mirror.pages[f"/{name}"] = content[:-1] + b"x"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content + b"x")
    said = []
    with pytest.raises(Refused) as caught:
        first_weights(said)
    for place in (str(tmp_path / "data" / name), f"{mirror.url}/{name}"):
        assert f"{place}: sha256 differs" in str(caught.value)
    assert any("searching further" in line for line in said)


def test_without_a_network_the_refusal_names_the_address_and_a_way_that_works(publish, tmp_path, d2lrun, own_images):
    name, content, _ = publish()
    words = (*COLOURED, *own_images, "device=cpu", "train.epochs=1", "train.limit_batches=1", "run.pictures=false")
    refused = d2lrun(*words)
    assert refused.code == 2 and f"http://127.0.0.1:9/{name}: " in refused.err
    assert "give model.weights=FILE in place of model.pretrained=true" in refused.err
    assert "dataset.dir" not in refused.err
    (tmp_path / name).write_bytes(content)
    words = [word for word in words if word != "model.pretrained=true"]
    done = d2lrun(*words, f"model.weights={tmp_path / name}")
    assert (done.code, done.err) == (0, "")
    assert f"weights of {tmp_path / name}; new for other classes: fc.weight, fc.bias" in done.out


def test_a_run_with_published_weights_resumes_and_predicts_without_them(publish, tmp_path, d2lrun, own_images):
    name, content, tensors = publish()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    words = (*COLOURED, *own_images, "device=cpu", "train.epochs=1", "train.limit_batches=1", "run.pictures=false")
    done = d2lrun(*words, "optimizer.lr=1e-30", "run.dir=r")
    assert (done.code, done.err) == (0, "")
    assert "were trained on images of 224×224; here they have 32×32" in done.out
    assert "; new for other classes: fc.weight, fc.bias" in done.out
    trained = safetensors.torch.load_file(tmp_path / "r" / "model.safetensors")
    body = [name for name in dict(torchvision.models.get_model(SMALLEST).named_parameters()) if name[:3] != "fc."]
    for key in body:
        torch.testing.assert_close(trained[key], tensors[key], rtol=0, atol=1e-20)
    (tmp_path / "data" / name).unlink()
    for words in (("evaluate", "r"), ("resume", "r", "train.epochs=2")):
        done = d2lrun(*words)
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "words, message, fix",
    [
        (
            ("dataset.normalise=none",),
            "dataset.normalise=none: model.pretrained=true needs",
            "dataset.normalise=imagenet",
        ),
        (("model.weights=a.pth",), "model.weights=a.pth: these weights are not", "model.pretrained=false"),
    ],
)
def test_what_contradicts_published_weights_is_refused(words, message, fix):
    with pytest.raises(Refused) as caught:
        compose([*PRETRAINED, *words])
    assert str(caught.value).startswith(message)
    assert compose([*PRETRAINED, *words, fix])


def test_published_weights_need_three_channels():
    with pytest.raises(Refused, match="needs images of 3 channels, not 1") as caught:
        models.build(compose([*PRETRAINED]).model, (1, 64, 64), 10)
    assert "dataset.channels=3" in caught.value.hint


def test_every_file_has_a_hash_in_its_name():
    names = [torchvision.models.get_model_weights(arch).DEFAULT.url.rpartition("/")[2] for arch in NAMES]
    assert len(names) >= 80 and all(map(weights.published_sum, names))


def test_weights_that_need_another_normalisation_are_refused():
    means = {arch: torchvision.models.get_model_weights(arch).DEFAULT.transforms().mean for arch in NAMES}
    others = [arch for arch, mean in means.items() if tuple(mean) != IMAGENET[0]]
    assert others == ["efficientnet_v2_l"]
    with pytest.raises(Refused, match="normalised otherwise"):
        published("efficientnet_v2_l", (3, 480, 480), print, None)


@pytest.mark.parametrize("arch", [*SAMPLE, "inception_v3", "densenet121"])
def test_a_network_has_the_names_and_shapes_of_its_file(arch):
    side = torchvision.models.get_model_weights(arch).DEFAULT.transforms().crop_size[0]
    heads = {"aux_logits": True, "init_weights": False} if arch in ("googlenet", "inception_v3") else {}
    heads |= {"image_size": side} if arch.startswith("vit") else {}
    with torch.device("meta"):
        theirs = torchvision.models.get_model(arch, weights=None, **heads)
        ours = build(inputs=(3, side, side), classes=1000, arch=arch, pretrained=True)
    given = adapted({early_name(name): tensor for name, tensor in theirs.state_dict().items()})
    shapes = [{name: tensor.shape for name, tensor in each.items()} for each in (given, ours.state_dict())]
    assert shapes[0] == shapes[1]
    assert getattr(ours, "transform_input", True)


def early_name(name):
    """The name in the files of DenseNet, which are of an early version."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name)


def test_fine_tuning_takes_a_folder_of_ones_own(publish, tmp_path, d2lrun):
    name, content, _ = publish()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_bytes(content)
    for number in range(24):
        path = tmp_path / "mine" / ("cold", "hot")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 32), (250 * (number % 2), number, 90)).save(path)
    small = (f"model.arch={SMALLEST}", "dataset.size=32", "augment.crop=4", "train.batch_size=8", "device=cpu")
    words = ("dataset=folder", "dataset.path=mine", *small, "run.pictures=false", "train.epochs=3")
    for experiment, remark in (("fine-tuning", True), ("fine-tuning-off", False)):
        done = d2lrun(f"experiment={experiment}", *words)
        assert (done.code, done.err) == (0, "")
        assert ("new for other classes: fc.weight, fc.bias" in done.out) == remark
