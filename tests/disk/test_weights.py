"""Weights from one network to the next, by way of a file."""

from __future__ import annotations

import pickle

import pytest
import safetensors.torch
import torch
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.disk import files, weights
from d2lrun.disk.rundir import RunDirectory
from d2lrun.errors import Refused
from tests.bits import same_bits
from tests.commands import in_this_process


def build(*overrides, seed=0, classes=10):
    torch.manual_seed(seed)
    config = compose(list(overrides))
    side = 28 if config.model.name != "nin" else 96
    return models.build(config.model, (1, side, side), classes)


def tensors(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def begin(model, source, classes):
    """Begin as a run does that names ``source``."""
    return weights.begin_with(model, weights.read(weights.find(source)), classes, source)


TIED = ("model=mlp", "model.hidden=[16,16,16]", "model.share=true")  # its layers 3 and 5 are one

NETWORKS = {
    "softmax": ["model=softmax"],
    "lenet": ["model=lenet"],
    "statistics of batches": ["model=lenet-bn"],
    "shared": [*TIED],
}


@pytest.mark.parametrize("overrides", NETWORKS.values(), ids=NETWORKS)
def test_what_is_saved_and_loaded_has_the_same_bits(tmp_path, overrides):
    one, other = build(*overrides, seed=1), build(*overrides, seed=2)
    assert not same_bits(tensors(one), tensors(other))
    weights.save(one, tmp_path / "a.safetensors")
    weights.load(other, weights.read(tmp_path / "a.safetensors"))
    assert same_bits(tensors(one), tensors(other))


def test_saving_leaves_the_model_alone(tmp_path):
    model = build("model=lenet").to(memory_format=torch.channels_last)
    before = tensors(model)
    weights.save(model, tmp_path / "a.safetensors")
    assert same_bits(tensors(model), before)
    assert model[3].weight.is_contiguous(memory_format=torch.channels_last)


def test_other_programs_find_the_names_of_the_state_dict(tmp_path):
    model = build("model=lenet-bn").to(memory_format=torch.channels_last)
    weights.save(model, tmp_path / "a.safetensors")
    found = safetensors.torch.load_file(tmp_path / "a.safetensors")
    assert same_bits(found, tensors(model))
    assert same_bits(weights.read(tmp_path / "a.safetensors"), tensors(model))


def test_what_is_shared_is_stored_once_under_its_first_name(tmp_path):
    model = build(*TIED)
    assert model[3].weight is model[5].weight
    weights.save(model, tmp_path / "a.safetensors")
    found = weights.read(tmp_path / "a.safetensors")
    assert sorted(found) == ["1.bias", "1.weight", "3.bias", "3.weight", "7.bias", "7.weight"]
    assert sum(tensor.numel() for tensor in found.values()) == sum(one.numel() for one in model.parameters())


def test_what_is_shared_stays_shared_when_it_is_loaded(tmp_path):
    weights.save(build(*TIED, seed=1), tmp_path / "a.safetensors")
    model = build(*TIED, seed=2)
    weights.load(model, weights.read(tmp_path / "a.safetensors"))
    with torch.no_grad():
        model[3].weight.fill_(7)
    assert (model[5].weight == 7).all()


def test_parameters_that_are_one_memory_are_shared_whatever_objects_they_are(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight.data = model[0].weight.data
    assert weights.shared(model) == {"1.weight"}
    weights.save(model, tmp_path / "a.safetensors")
    assert sorted(weights.read(tmp_path / "a.safetensors")) == ["0.bias", "0.weight", "1.bias"]


def test_what_is_shared_may_come_under_every_name():
    """As a checkpoint keeps them."""
    one, other = build(*TIED, seed=1), build(*TIED, seed=2)
    weights.load(other, tensors(one))
    assert same_bits(tensors(one), tensors(other))


def test_all_that_differs_is_told_at_once():
    given = tensors(build("model=mlp", "model.hidden=[16]"))
    del given["1.bias"]
    given["9.weight"] = torch.zeros(3)
    given["3.weight"] = torch.zeros(10, 17)
    with pytest.raises(Refused) as caught:
        weights.load(build("model=mlp", "model.hidden=[16]"), given)
    assert str(caught.value).splitlines() == [
        "the weights do not fit the model",
        "  1.bias: missing",
        "  9.weight: the model has no such parameter",
        "  3.weight: 10×17 given, 10×16 wanted",
    ]
    assert "d2lrun summary" in caught.value.hint


def test_of_many_differences_ten_are_told():
    with pytest.raises(Refused) as caught:
        weights.load(build("model=lenet"), {})
    assert len(str(caught.value).splitlines()) == 1 + 10
    with pytest.raises(Refused) as caught:
        weights.load(build("model=lenet"), tensors(build("model=softmax")) | {"x": torch.ones(1)})
    assert str(caught.value).splitlines()[-1] == "  and 3 more"


@pytest.mark.parametrize("load", [weights.load, lambda model, given: begin(model, given, 10)])
def test_weights_that_are_refused_change_nothing(tmp_path, load):
    model = build("model=mlp", "model.hidden=[16]")
    before = tensors(model)
    given = tensors(build("model=mlp", "model.hidden=[16]", seed=1)) | {"x": torch.ones(1)}
    if load is not weights.load:
        safetensors.torch.save_file(given, tmp_path / "a.safetensors")
        given = str(tmp_path / "a.safetensors")
    with pytest.raises(Refused):
        load(model, given)
    assert same_bits(tensors(model), before)


GARBAGE = {
    "empty": b"",
    "words": b"garbage",
    "a header that lies": b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
    "a pickle": pickle.dumps({"1.weight": [1.0]}),
    "half": None,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("read", [weights.read, lambda path: begin(build("model=softmax"), str(path), 10)])
def test_what_is_no_file_of_weights_is_refused(tmp_path, content, read):
    path = tmp_path / "a.safetensors"
    if content is None:
        weights.save(build("model=softmax"), path)
        content = path.read_bytes()[:-1000]
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} is not a sound .safetensors file: ")
    assert (caught.value.code, bool(caught.value.hint)) == (2, True)


class Sentinel:
    """Unpickled as code, it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors"])
def test_a_checkpoint_of_pickles_is_refused_and_never_run(tmp_path, name):
    torch.save({"1.weight": Sentinel(tmp_path / "sentinel")}, tmp_path / name)
    with pytest.raises(Refused, match=r"is not a sound \.safetensors file|wanted a state dict"):
        begin(build("model=softmax"), str(tmp_path / name), 10)
    assert not (tmp_path / "sentinel").exists()


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"nowhere.safetensors: no such file"):
        begin(build("model=softmax"), str(tmp_path / "nowhere.safetensors"), 10)


def test_a_file_of_weights_that_is_not_there_is_refused_before_the_data_are_read(tmp_path):
    words = ("model=softmax", "model.weights=nowhere.pth", "dataset=folder", "dataset.path=neither", "device=cpu")
    done = in_this_process(tmp_path, *words)
    assert (done.code, done.err.splitlines()[0]) == (2, "error: nowhere.pth: no such file")


def test_a_run_without_weights_is_refused(tmp_path):
    with pytest.raises(Refused) as caught:
        begin(build("model=softmax"), str(tmp_path), 10)
    assert str(caught.value) == f"model.weights={tmp_path}: no model.safetensors in it"
    assert "finished" in caught.value.hint


@pytest.mark.parametrize("source", ["run", "file", "home"])
def test_a_model_begins_with_the_weights_of_a_run_or_a_file(tmp_path, monkeypatch, source):
    monkeypatch.setenv("HOME", str(tmp_path))
    given, model = build("model=lenet", seed=1), build("model=lenet", seed=2)
    path = RunDirectory(tmp_path).weights_file
    weights.save(given, path)
    named = {"run": str(tmp_path), "file": str(path), "home": f"~/{path.name}"}[source]
    assert begin(model, named, 10) == []
    assert same_bits(tensors(model), tensors(given))


HEADS = {
    "softmax": {"1.weight", "1.bias"},
    "mlp": {"3.weight", "3.bias"},
    "lenet-bn": {"15.weight", "15.bias"},
    "nin": {f"7.{layer}.{kind}" for layer in (0, 2, 4) for kind in ("weight", "bias")},  # a block of convolutions
}


@pytest.mark.parametrize("theirs, ours", [(5, 10), (10, 5), (1000, 10), (10, 1)])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_for_other_classes_stays_at_its_first_values_and_is_named(tmp_path, name, theirs, ours):
    given, model = (build(f"model={name}", seed=classes, classes=classes) for classes in (theirs, ours))
    first = tensors(model)
    weights.save(given, tmp_path / "a.safetensors")
    assert set(begin(model, str(tmp_path / "a.safetensors"), ours)) == HEADS[name]
    wanted = {key: first[key] if key in HEADS[name] else tensor for key, tensor in tensors(given).items()}
    assert same_bits(tensors(model), wanted)


def test_with_other_classes_any_other_difference_is_still_refused(tmp_path):
    given, model = build("model=mlp", "model.hidden=[32]", classes=5), build("model=mlp", "model.hidden=[16]")
    before = tensors(model)
    weights.save(given, tmp_path / "a.safetensors")
    with pytest.raises(Refused) as caught:
        begin(model, str(tmp_path / "a.safetensors"), 10)
    assert "  1.weight: 32×784 given, 16×784 wanted" in str(caught.value).splitlines()
    assert same_bits(tensors(model), before)


def test_a_hidden_layer_that_had_as_many_units_as_classes_is_no_head(tmp_path):
    given = build("model=mlp", "model.hidden=[5]", classes=5)
    weights.save(given, tmp_path / "a.safetensors")
    with pytest.raises(Refused, match=r"1\.weight: 5×784 given, 10×784 wanted"):
        begin(build("model=mlp", "model.hidden=[10]"), str(tmp_path / "a.safetensors"), 10)


def test_a_head_that_is_no_matrix_is_refused(tmp_path):
    given = tensors(build("model=softmax")) | {"1.bias": torch.tensor(1.0)}
    safetensors.torch.save_file(given, tmp_path / "a.safetensors")
    with pytest.raises(Refused, match=r"1\.bias: 1 given, 10 wanted"):
        begin(build("model=softmax"), str(tmp_path / "a.safetensors"), 10)


def test_weights_in_a_shorter_type_become_float32(tmp_path):
    given = {name: tensor.bfloat16() for name, tensor in tensors(build("model=softmax", seed=1)).items()}
    safetensors.torch.save_file(given, tmp_path / "a.safetensors")
    model = build("model=softmax")
    begin(model, str(tmp_path / "a.safetensors"), 10)
    assert same_bits(tensors(model), {name: tensor.float() for name, tensor in given.items()})


@pytest.mark.parametrize("name", ["a.pth", "a.PT", "a-{}.pth"])
def test_a_state_dict_of_torch_is_read(tmp_path, name):
    given, model = tensors(build("model=lenet-bn", seed=1)), build("model=lenet-bn", seed=2)
    torch.save({name: tensor for name, tensor in given.items() if "num_batches" not in name}, tmp_path / "file")
    path = (tmp_path / "file").rename(tmp_path / name.format(files.sha256(tmp_path / "file")[:8]))
    assert begin(model, str(path), 10) == []
    assert same_bits(tensors(model), given)


def test_a_state_dict_whose_name_has_another_hash_is_refused(tmp_path):
    torch.save(tensors(build("model=softmax")), tmp_path / "softmax-0123abcd.pth")
    with pytest.raises(Refused, match=r"sha256 differs: got .*, wanted 0123abcd") as caught:
        begin(build("model=softmax"), str(tmp_path / "softmax-0123abcd.pth"), 10)
    assert "the first of its sha256" in caught.value.hint


@pytest.mark.parametrize("content", [{"model": {"1.weight": torch.ones(1)}}, [torch.ones(1)], {"1.weight": 3}, 7])
def test_a_file_of_torch_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(Refused, match="wanted a state dict"):
        begin(build("model=softmax"), str(tmp_path / "a.pth"), 10)


STRANGE = {
    "integers": (lambda tensor: tensor.int(), "int32 given, a float wanted"),
    "nan": (lambda tensor: tensor * float("nan"), "not finite"),
    "complex": (lambda tensor: tensor.to(torch.complex64), "no plain tensor"),
    "without memory": (lambda tensor: tensor.to("meta"), "no plain tensor"),
    "sparse": (lambda tensor: tensor.to_sparse(), "no plain tensor"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_weights_that_are_no_finite_floats_are_refused(tmp_path, kind):
    change, message = STRANGE[kind]
    model = build("model=softmax")
    torch.save({name: change(tensor) for name, tensor in tensors(model).items()}, tmp_path / "a.pth")
    with pytest.raises(Refused, match=message):
        begin(model, str(tmp_path / "a.pth"), 10)


def test_a_flipped_bit_in_a_file_of_torch_is_refused(tmp_path):
    path = tmp_path / "a.pth"
    torch.save(tensors(build("model=softmax")), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match="CRC-32"):
        begin(build("model=softmax"), str(path), 10)
