from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import shutil
from functools import lru_cache

import pytest
import torch
from torch import nn

from d2lrun import models
from d2lrun.config import schema
from d2lrun.config.compose import compose
from d2lrun.config.tables import MODELS
from d2lrun.errors import Refused
from d2lrun.models.inputs import Pairs, Sequences, Stream, example_of
from d2lrun.training import devices

CPU = torch.device("cpu")
# torch.compile imports a part of torch that uses a deprecated one
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
PRODUCTS = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)


@lru_cache
def composed(*overrides):
    return compose(list(overrides))


def group(**values):
    """The config group ``device`` with these values."""
    config = copy.deepcopy(composed("device=cpu").device)
    for key, value in values.items():
        setattr(config, key, value)
    return config


@pytest.fixture(autouse=True)
def torch_as_before(monkeypatch):
    """What ``prepare`` sets holds for the process: here it ends with the test."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # remembered, to be put back as it is now
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    products = [backend.fp32_precision for backend in PRODUCTS]
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    for backend, value in zip(PRODUCTS, products, strict=True):
        backend.fp32_precision = value


def machine(monkeypatch, *, cuda, mps):
    """What torch says of a machine with or without these devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    "cuda, mps, have",
    [
        (False, False, ["cpu"]),
        (True, False, ["cuda", "cpu"]),
        (False, True, ["mps", "cpu"]),
        (True, True, ["cuda", "mps", "cpu"]),
    ],
)
def test_auto_is_the_first_of_cuda_mps_and_cpu(monkeypatch, cuda, mps, have):
    machine(monkeypatch, cuda=cuda, mps=mps)
    assert devices.available() == have
    assert devices.resolve("auto") == torch.device(have[0])


@pytest.mark.parametrize("name", ["cpu", "cuda", "mps"])
def test_a_named_device_is_taken_at_its_word(monkeypatch, name):
    machine(monkeypatch, cuda=True, mps=True)
    assert devices.resolve(name) == torch.device(name)


@pytest.mark.parametrize("name", ["cuda", "mps"])
@pytest.mark.parametrize("ask", [devices.resolve, lambda name: devices.prepare(group(name=name))])
def test_a_device_that_is_not_there_is_refused_by_name(monkeypatch, ask, name):
    machine(monkeypatch, cuda=False, mps=False)
    with pytest.raises(Refused) as caught:
        ask(name)
    message = f"device={name}: {name} is not available (torch {torch.__version__}); have: cpu"
    assert (str(caught.value), caught.value.code) == (message, 2)
    assert "device=auto" in caught.value.hint


@pytest.mark.parametrize(
    "version, capability, bf16, have",
    [
        ("12.8", (9, 0), True, ["fp32", "tf32", "bf16", "fp16"]),  # H100
        ("12.8", (8, 0), True, ["fp32", "tf32", "bf16", "fp16"]),  # A100
        ("12.8", (7, 0), False, ["fp32", "fp16"]),  # V100, the book's
        ("12.8", (7, 5), False, ["fp32", "fp16"]),  # T4
        (None, (9, 4), True, ["fp32", "bf16", "fp16"]),  # ROCm: no tf32 by this name
    ],
)
def test_the_precisions_of_a_gpu_are_those_of_its_generation(monkeypatch, version, capability, bf16, have):
    monkeypatch.setattr(torch.version, "cuda", version)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation)
    assert devices.precisions(torch.device("cuda")) == have


@pytest.mark.parametrize("modern, have", [(True, ["fp32", "bf16", "fp16"]), (False, ["fp32", "fp16"])])
def test_the_precisions_of_a_mac_are_those_of_its_system(monkeypatch, modern, have):
    monkeypatch.setattr(
        torch.backends.mps, "is_macos_or_newer", lambda major, minor: modern and (major, minor) == (14, 0)
    )
    assert devices.precisions(torch.device("mps")) == have


@pytest.mark.parametrize("bf16, fp16", [(False, False), (True, False), (True, True)])
def test_the_precisions_of_a_processor_are_those_of_its_instructions(monkeypatch, bf16, fp16):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda: fp16)
    assert devices.precisions(CPU) == ["fp32", *["bf16"] * bf16, *["fp16"] * fp16]


def test_a_processor_without_the_library_has_fp32_alone(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert devices.precisions(CPU) == ["fp32"]


PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("have", [["fp32"], ["fp32", "bf16"], ["fp32", "fp16"], list(PRECISIONS)])
def test_a_precision_is_taken_where_the_hardware_has_it_and_refused_where_not(monkeypatch, precision, have):
    monkeypatch.setattr(devices, "precisions", lambda device: have)
    if precision in have:
        assert devices.prepare(group(precision=precision)) == CPU
        return
    with pytest.raises(Refused) as caught:
        devices.prepare(group(precision=precision))
    message = f"device.precision={precision}: not in the hardware of this cpu; have: {', '.join(have)}"
    assert (str(caught.value), caught.value.code) == (message, 2)
    assert caught.value.hint.partition("=")[2] in have


def test_no_processor_has_tf32():
    with pytest.raises(Refused, match=r"device\.precision=tf32: not in the hardware of this cpu; have: fp32"):
        devices.prepare(group(precision="tf32"))


def test_products_are_short_in_tf32_alone_and_whole_again_in_the_next_job(monkeypatch):
    monkeypatch.setattr(devices, "precisions", lambda device: list(PRECISIONS))
    found = []
    for precision in ("fp32", "tf32", "bf16", "tf32", "fp32"):
        devices.prepare(group(precision=precision))
        found.append({backend.fp32_precision for backend in PRODUCTS})
    assert found == [{"ieee"}, {"tf32"}, {"ieee"}, {"tf32"}, {"ieee"}]


def test_determinism_is_set_and_unset_from_job_to_job():
    found = []
    for deterministic in (False, True, False):
        devices.prepare(group(deterministic=deterministic))
        found.append(torch.are_deterministic_algorithms_enabled())
    assert found == [False, True, False]


def test_determinism_gives_cublas_the_memory_it_asks_for(monkeypatch):
    devices.prepare(group(deterministic=False))
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    devices.prepare(group(deterministic=True))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    devices.prepare(group(deterministic=True))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_threads_are_as_many_as_asked_for():
    before = torch.get_num_threads()
    devices.prepare(group(threads=None))
    assert torch.get_num_threads() == before
    devices.prepare(group(threads=3))
    assert torch.get_num_threads() == 3


def test_without_a_compiler_compilation_is_refused_and_with_one_it_is_not(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(Refused) as caught:
        devices.prepare(group(compile=True))
    message = "device.compile=true: it needs a C++ compiler, and none is on the PATH"
    assert (str(caught.value), caught.value.code, caught.value.hint) == (message, 2, "device.compile=false")
    assert devices.prepare(group(compile=False)) == CPU
    shutil.copy(shutil.which("sh", path="/bin:/usr/bin"), tmp_path / "g++")
    assert devices.prepare(group(compile=True)) == CPU


def test_a_compiler_of_the_users_own_is_found(monkeypatch, tmp_path):
    compiler = tmp_path / "my-c++"
    shutil.copy(shutil.which("sh"), compiler)
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CXX", str(compiler))
    assert devices.compiler_missing(CPU) is None


@pytest.mark.parametrize("there", [False, True])
def test_on_a_gpu_compilation_needs_triton(monkeypatch, there):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: (there and name == "triton") or None)
    missing = devices.compiler_missing(torch.device("cuda"))
    assert missing is None if there else "triton" in missing


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.Flatten(), nn.Linear(16 * 4 * 4, 10))


IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_of_convolutions_is_in_the_order_asked_for(channels_last):
    model = devices.place(network(), CPU, group(channels_last=channels_last))
    for conv in (model[0], model[2]):
        assert conv.weight.is_contiguous(memory_format=torch.channels_last) == channels_last
        assert conv.weight.is_contiguous() == (not channels_last)


def test_either_order_of_memory_gives_the_same_up_to_rounding():
    one, other = (devices.place(network(), CPU, group(channels_last=order))(IMAGES) for order in (True, False))
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision, digits", [("bf16", 2**-8), ("fp16", 2**-11)])
def test_mixed_precision_computes_in_the_shorter_type_and_returns_float32(precision, digits):
    """Weights stay float32; what comes out differs from float32, and by no more than a few roundings."""
    seen = []
    model = devices.place(network(), CPU, group(precision=precision))
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    exact, found = network()(IMAGES), model(IMAGES)
    assert seen == [devices.MIXED[precision]]
    assert found.dtype == torch.float32
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    error = (found - exact).abs().max() / exact.abs().max()
    assert 0 < error < 8 * digits


def small_network(name, device):
    """A network of that name that trains by gradients, and its arguments for two examples."""
    kinds = {"table": (12,), "images": (3, 96, 96), "text": Stream(5), "pairs": Pairs(9), "sentences": Sequences(9)}
    data = kinds[MODELS[name].inputs[0]]
    with torch.device(device):
        model = models.build(compose([f"model={name}", *SMALL.get(name, [])]).model, data, 10)
        return model, tuple(each.repeat_interleave(2, dim=0) for each in example_of(data))


SMALL = {"vgg": ["model.ratio=16"], "rnn": ["model.impl=scratch"], "torchvision": ["model.arch=squeezenet1_1"]}
TRAINED = [name for name in MODELS if name not in ("ngram", "nadaraya-watson", "bag-of-words")]  # with a last layer


@pytest.mark.parametrize("name", TRAINED)
def test_the_last_layer_is_the_one_that_computes_last(name):
    model, inputs = small_network(name, "meta")
    called = []
    for layer in model.modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_hook(lambda layer, inputs, output: called.append(layer))
    model(*inputs)
    assert called[-1] is devices.last_layer(model)


@pytest.mark.parametrize("name", ["lenet", "nin", "rnn", "gru", "linear", "mlp"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_in_mixed_precision_the_last_layer_computes_in_float32(name, precision):
    model, inputs = small_network(name, "cpu")
    devices.place(model, CPU, group(precision=precision))
    found = []
    devices.last_layer(model).register_forward_hook(lambda layer, inputs, output: found.append(output))
    model(*inputs)
    assert found[0].dtype == torch.float32


@pytest.mark.parametrize("outputs, dtype", [(1000, torch.float32), (1001, torch.bfloat16)])
def test_a_large_vocabulary_stays_in_the_shorter_type(outputs, dtype):
    found, model = [], nn.Sequential(nn.Linear(4, outputs))
    devices.place(model, CPU, group(precision="bf16"))
    model[0].register_forward_hook(lambda layer, inputs, output: found.append(output.dtype))
    model(torch.zeros(2, 4))
    assert found == [dtype]


def test_as_many_numbers_are_predicted_in_bf16_as_in_fp32():
    """Around 200,000 neighbours in bf16 are 1,024 apart."""
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))
    nn.init.constant_(model[2].bias, 200_000.0)
    devices.place(model, CPU, group(precision="bf16"))
    rows = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) * 100
    assert len(model(rows).unique()) > 500


def test_a_model_without_weights_has_no_last_layer():
    assert devices.last_layer(nn.Flatten()) is None
    assert devices.place(nn.Flatten(), CPU, group(precision="bf16"))(IMAGES).shape == (4, 192)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_in_full_precision_the_forward_pass_is_left_alone(precision):
    model = devices.place(network(), CPU, group(precision=precision, channels_last=False))
    assert torch.equal(model(IMAGES), network()(IMAGES))


@compiles
@pytest.mark.parametrize("settings", [{"precision": "bf16"}, {"compile": True}, {"precision": "fp16", "compile": True}])
def test_the_names_of_the_parameters_stay(settings):
    placed = devices.place(network(), CPU, group(**settings))
    assert list(placed.state_dict()) == list(network().state_dict())
    assert [name for name, _ in placed.named_parameters()] == [name for name, _ in network().named_parameters()]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_loss_is_scaled_in_fp16_alone(precision):
    scaler = devices.scaler(CPU, group(precision=precision))
    assert scaler.is_enabled() == (precision == "fp16")
    assert (scaler.scale(torch.tensor(1.0)).item() > 1) == (precision == "fp16")


def test_the_generator_goes_on_from_where_it_was_kept():
    torch.manual_seed(0)
    torch.rand(3)
    state = devices.rng_state(CPU)
    expected = torch.rand(5)
    torch.manual_seed(9)
    devices.set_rng_state(state, CPU)
    assert torch.equal(torch.rand(5), expected)


def test_a_state_of_another_device_sets_the_generator_of_the_cpu():
    torch.manual_seed(0)
    state = devices.rng_state(CPU) | {"cuda": torch.zeros(16, dtype=torch.uint8)}
    expected = torch.rand(5)
    devices.set_rng_state(state, CPU)
    assert torch.equal(torch.rand(5), expected)
    assert (devices.device_of(state), devices.device_of({"cpu": state["cpu"]})) == ("cuda", "cpu")


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """A machine with two GPUs on which nobody computes; returns which of them is chosen, again and again."""
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return chosen


def test_runs_at_the_same_time_take_a_gpu_each_and_a_third_shares(two_gpus):
    with devices.a_gpu(group(name="cuda")), devices.a_gpu(group(name="auto")), devices.a_gpu(group(name="cuda")):
        assert two_gpus == [0, 1, os.getpid() % 2]


def test_a_gpu_is_free_again_when_its_run_is_over_or_broken(two_gpus):
    for _ in range(2):
        with contextlib.suppress(RuntimeError), devices.a_gpu(group(name="cuda")):
            raise RuntimeError
    assert two_gpus == [0, 0]


def test_the_gpus_that_two_processes_see_by_other_numbers_are_told_apart(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with devices.a_gpu(group(name="cuda")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 2")  # whose second one is taken
        with devices.a_gpu(group(name="cuda")), devices.a_gpu(group(name="cuda")):
            assert two_gpus == [0, 0, os.getpid() % 2]


@pytest.mark.parametrize(("count", "name"), [(0, "auto"), (1, "cuda"), (2, "cpu")])
def test_with_one_gpu_or_none_there_is_nothing_to_hold(two_gpus, monkeypatch, tmp_path, count, name):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with devices.a_gpu(group(name=name)):
        assert two_gpus == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["cuda:0", "cuda:1"])
def test_a_gpu_is_chosen_by_its_number(two_gpus, monkeypatch, name):
    machine(monkeypatch, cuda=True, mps=False)
    monkeypatch.setattr(devices, "precisions", lambda device: ["fp32"])
    config = composed(f"device={name}").device
    assert config.name == name
    with devices.a_gpu(config):
        assert devices.prepare(config) == torch.device(name)
    assert two_gpus == [torch.device(name)]


@pytest.mark.parametrize("cuda", [True, False])
def test_a_gpu_that_is_not_there_is_refused_with_those_that_are(two_gpus, monkeypatch, cuda):
    machine(monkeypatch, cuda=cuda, mps=False)
    have = "cuda, cpu, cuda:0, cuda:1" if cuda else "cpu"
    with pytest.raises(Refused, match=f"device=cuda:2: .* have: {have}$"):
        devices.resolve("cuda:2")


def test_a_numbered_gpu_differs_from_cuda_in_its_name_alone():
    numbered, plain = (
        composed("device=cuda:1", "device.precision=bf16"),
        composed("device=cuda", "device.precision=bf16"),
    )
    assert dataclasses.replace(numbered.device, name="cuda") == plain.device
    assert schema.differing(numbered, plain) == []
    assert schema.parse(schema.to_dict(numbered)) == numbered


@pytest.mark.parametrize("outer", [contextlib.nullcontext, lambda: torch.autocast("cpu", enabled=False)])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_step_sees_the_weights_of_the_step_before(outer, precision):
    """Autocast keeps its copies of the weights until the outermost context ends, which may be the user's."""
    layer = torch.nn.Linear(3, 2)
    forward = devices.wrapped(layer.forward, CPU, devices.MIXED[precision])
    inputs = torch.ones(1, 3)
    with outer():
        before = forward(inputs)
        with torch.no_grad():
            layer.weight += 1
        after = forward(inputs)
    assert torch.allclose(after, before + 3, atol=0.1)
