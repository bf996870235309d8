from __future__ import annotations

import copy
import inspect
import math
import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.config.keys import SGD, Adam, Constant, Cosine, Step
from d2lrun.errors import Refused
from d2lrun.training.optim import build, head_of, learning_rate, plain, set_rate
from tests.bits import same_bits

epochs = st.integers(1, 50)
moments = st.tuples(st.integers(0, 300), st.integers(1, 60) | st.integers(1, 3000)).flatmap(
    lambda pair: st.tuples(st.just(pair[0]), st.integers(0, pair[1] - 1), st.just(pair[1]))
)  # finished epochs, finished batches of the next one, and how many it has
times = st.floats(0, 1, exclude_max=True)  # share of the run


def constant(warmup=0.0):
    return Constant("constant", warmup)


def step(every=3.0, factor=0.5, warmup=0.0):
    return Step("step", warmup, every, factor)


def cosine(final=0.0, warmup=0.0):
    return Cosine("cosine", warmup, final)


@given(times, epochs)
def test_constant_is_constant(time, epochs):
    assert learning_rate(constant(), 0.3, time * epochs, epochs) == 0.3


@pytest.mark.parametrize("epoch, wanted", [(0, 1.0), (2.999, 1.0), (3, 0.5), (5.999, 0.5), (6, 0.25), (9.5, 0.125)])
def test_step_drops_every_so_many_epochs(epoch, wanted):
    assert learning_rate(step(every=3, factor=0.5), 1.0, epoch, 10) == wanted


@given(st.integers(1, 30), st.integers(0, 2), st.integers(1, 60), st.integers(1, 100))
def test_a_drop_comes_with_its_batch_and_not_later(digits, places, batches, drops):
    """``every`` is the decimal digits / 10^places; the oracle multiplies and divides whole numbers alone."""
    schedule = step(every=float(f"{digits}e-{places}"), factor=0.999)
    first = -(-drops * digits * batches // 10**places)  # batches done when the drop is due, rounded up
    for done in (first - 1, first):
        due = done * 10**places // (batches * digits)
        assert learning_rate(schedule, 1.0, Fraction(done, batches), 300) == 0.999**due


@given(moments, st.sampled_from([constant(), constant(2.5), cosine(), cosine(0.1, warmup=0.3)]))
def test_other_schedules_have_the_bits_of_a_float_time(moment, schedule):
    epoch, batch, batches = moment
    exact, plain = epoch + Fraction(batch, batches), epoch + batch / batches
    assert learning_rate(schedule, 0.3, exact, 301) == learning_rate(schedule, 0.3, plain, 301)


def test_a_tenth_of_an_epoch_of_ten_batches_is_one_batch():
    times = [epoch + Fraction(batch, 10) for epoch in range(6) for batch in range(10)]
    rates = [learning_rate(step(every=0.1, factor=0.5), 1.0, time, 6) for time in times]
    assert rates == [0.5**drops for drops in range(60)]


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
def test_cosine_at_its_ends_and_its_middle(final):
    def at(epoch):
        return learning_rate(cosine(final), 2.0, epoch, 8)

    assert at(0) == 2.0
    assert at(4) == pytest.approx(2.0 * (1 + final) / 2, rel=1e-12)
    assert at(8) == pytest.approx(2.0 * final, abs=1e-12)
    assert at(2) == pytest.approx(2.0 * (final + (1 - final) * (2 + math.sqrt(2)) / 4), rel=1e-12)


@given(times, times, epochs)
def test_cosine_never_climbs(one, other, epochs):
    early, late = sorted((one * epochs, other * epochs))
    assert learning_rate(cosine(), 1.0, early, epochs) >= learning_rate(cosine(), 1.0, late, epochs)


@given(times, st.floats(0.1, 5))
def test_the_warm_up_is_linear(share, warmup):
    rate = learning_rate(constant(warmup), 0.4, share * warmup, 10)
    assert rate == pytest.approx(0.4 * share, rel=1e-9)


@pytest.mark.parametrize("schedule", [constant, step, cosine])
def test_after_the_warm_up_the_schedule_is_as_without(schedule):
    for epoch in (2.0, 3.5, 9.9):
        with_it, without = (learning_rate(schedule(warmup=warmup), 0.4, epoch, 10) for warmup in (2.0, 0.0))
        assert with_it == without


@pytest.mark.parametrize("schedule", [step, cosine])
def test_the_warm_up_multiplies_the_schedule(schedule):
    assert learning_rate(schedule(warmup=4.0), 0.4, 1.0, 10) == learning_rate(schedule(), 0.4, 1.0, 10) / 4


def parameters():
    return [nn.Parameter(torch.ones(3))]


OPTIMIZERS = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.LBFGS]


def stepped(kind) -> tuple[list[float], dict]:
    """The parameters after three steps, of which the last is taken from a saved state; and that state."""
    optimizer = kind([start := nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))], lr=0.1)

    def loss():
        optimizer.zero_grad()
        (value := start.pow(4).sum()).backward()
        return value

    loss()  # LBFGS alone calls it
    optimizer.step(loss)
    optimizer.step(loss)
    state = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(state)
    optimizer.step(loss)
    return start.tolist(), state


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_without_the_compilers_wrappers_the_steps_are_the_same_bits(kind):
    (ours, state), (wanted, theirs) = stepped(plain(kind)), stepped(kind)
    assert ours == wanted and repr(state) == repr(theirs)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_no_step_imports_the_compiler(kind, monkeypatch):
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        monkeypatch.delattr(inspect.unwrap(getattr(kind, name)), "__dynamo_disable", raising=False)  # its first call
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import fails
    stepped(plain(kind))
    with pytest.raises(ImportError):
        stepped(kind)


def test_sgd_gets_its_arguments():
    config = SimpleNamespace(name="sgd", lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01, decay_bias=True)
    optimizer = build(config, parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer).__base__ is torch.optim.SGD
    assert {key: group[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "dampening")} == {
        **{"lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "dampening": 0,
    }


@pytest.mark.parametrize("name, kind", [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_gets_its_arguments(name, kind):
    optimizer = build(Adam(name, 0.002, 0.8, 0.95, 1e-6, 0.03, True, 1.0), parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer).__base__ is kind
    assert {key: group[key] for key in ("lr", "betas", "eps", "weight_decay")} == {
        **{"lr": 0.002, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.03},
    }


@pytest.mark.parametrize(
    "name, after",
    [
        ("sgd", 1 - 0.1 * (2 + 0.5)),  # the decay joins the gradient
        ("adam", 1 - 0.1),  # the decay joins a gradient whose length does not count
        ("adamw", 1 * (1 - 0.1 * 0.5) - 0.1),  # the decay stands beside it
    ],
)
def test_one_step_of_each(name, after):
    decay = {"name": name, "lr": 0.1, "weight_decay": 0.5, "decay_bias": True}
    rest = {"momentum": 0.0, "nesterov": False} if name == "sgd" else {"beta1": 0.9, "beta2": 0.999, "eps": 1e-12}
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = build(SimpleNamespace(**decay, **rest), [weight])
    (2 * weight).sum().backward()
    optimizer.step()
    assert weight.item() == pytest.approx(after, rel=1e-6)


@pytest.mark.parametrize("decay_bias, bias_after", [(True, 0.95), (False, 1.0)])
def test_what_has_one_dimension_is_spared_where_asked_for(decay_bias, bias_after):
    config = SimpleNamespace(name="sgd", lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.5, decay_bias=decay_bias)
    layer = nn.Linear(3, 2)
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    build(config, layer.parameters()).step()
    assert torch.allclose(layer.weight, torch.tensor(1 - 0.1 * 0.5))
    assert torch.allclose(layer.bias, torch.tensor(bias_after))


def test_every_parameter_is_in_one_group_where_biases_are_spared():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    config = SimpleNamespace(name="sgd", lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.5, decay_bias=False)
    groups = build(config, net.parameters()).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.5, 2), (0.0, 4)]


# --- a learning rate of its own for the last layer -----------------------------------------------------------------

OPTIMIZERS = {
    "sgd": (SGD("sgd", 0.1, 0.9, False, 0.01, True, 10.0), torch.optim.SGD, {"momentum": 0.9}),
    "adam": (Adam("adam", 0.01, 0.9, 0.999, 1e-8, 0.01, True, 10.0), torch.optim.Adam, {}),
    "adamw": (Adam("adamw", 0.01, 0.9, 0.999, 1e-8, 0.01, True, 10.0), torch.optim.AdamW, {}),
}


@pytest.mark.parametrize("config, kind, options", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("schedule", [constant(), step(every=1), cosine(0.1, warmup=0.5)], ids=lambda each: each.name)
def test_the_last_layer_learns_as_by_torchs_own_groups(config, kind, options, schedule):
    ours, theirs = (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = build(config, ours.parameters(), head_of(ours, 2))
    groups = [{"params": theirs[0].parameters()}, {"params": theirs[2].parameters(), "lr": config.lr * 10}]
    oracle = kind(groups, lr=config.lr, weight_decay=0.01, **options)
    rates = torch.optim.lr_scheduler.LambdaLR(oracle, lambda n: learning_rate(schedule, 1.0, Fraction(n, 4), 3))
    inputs = torch.randn(12, 5, 4, generator=torch.Generator().manual_seed(1))
    for number, batch in enumerate(inputs):
        for network in (ours, theirs):
            network.zero_grad()
            network(batch).square().mean().backward()
        set_rate(optimizer, learning_rate(schedule, config.lr, Fraction(number, 4), 3))
        optimizer.step()
        oracle.step()
        rates.step()
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_the_factor_goes_with_spared_biases_and_with_a_checkpoint():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    config = SGD("sgd", 0.5, 0.0, False, 0.25, False, 10.0)
    optimizer = build(config, net.parameters(), head_of(net, 2))
    again = build(config, net.parameters(), head_of(net, 2))
    again.load_state_dict(optimizer.state_dict())
    for each in (optimizer, again):
        set_rate(each, 0.5)
        found = [(group["lr"], group["weight_decay"], len(group["params"])) for group in each.param_groups]
        assert found == [(0.5, 0.25, 1), (0.5, 0.0, 3), (5.0, 0.25, 1), (5.0, 0.0, 1)]


def test_a_factor_of_one_leaves_the_groups_as_they_were():
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    (group,) = build(SGD("sgd", 0.1, 0.0, False, 0.0, True, 1.0), net.parameters()).param_groups
    assert len(group["params"]) == 4 and "factor" not in group


@pytest.mark.parametrize("name", ["mlp", "lenet", "resnet", "torchvision", "vgg"])
def test_the_last_layer_is_the_one_that_makes_the_outputs(name):
    side = 28 if name in ("mlp", "lenet") else 32
    model = models.build(compose([f"model={name}"]).model, (1, side, side), 10)
    last = list(model.parameters())[-2:]
    assert [*map(id, head_of(model, 10))] == [*map(id, last)]
    assert all(parameter.shape[0] == 10 for parameter in last)


FAULTS = {"outputs": "no last layer", "shared": "no last layer", "frozen": "the last layer, 2, is frozen"}


@pytest.mark.parametrize("fault, message", FAULTS.items())
def test_without_a_last_layer_to_tell_the_factor_is_refused(fault, message):
    net = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(4, 2))
    if fault == "shared":
        net[2].weight = net[0].weight
    if fault == "frozen":
        net[2].requires_grad_(False)
    with pytest.raises(Refused, match=message) as caught:
        head_of(net, 3 if fault == "outputs" else 2)
    assert caught.value.hint == "optimizer.head_factor=1"


def test_a_run_uses_the_factor_and_goes_on_with_it(d2lrun, own_images, tmp_path):
    words = ("model=mlp", "model.hidden=[8]", *own_images, "device=cpu", "run.pictures=false", "train.limit_batches=2")
    for folder, more in (("a", "train.epochs=2"), ("b", "train.epochs=1"), ("c", "optimizer.head_factor=1")):
        done = d2lrun(*words, "optimizer.head_factor=10", f"run.dir={folder}", more)
        assert (done.code, done.err) == (0, "")
    done = d2lrun(
        "resume",
        "b",
        "train.epochs=2",
    )
    (longer,) = tmp_path.glob("outputs/runs/*/*/*")
    one, other, plain = (load_file(tmp_path / each / "model.safetensors") for each in ("a", longer, "c"))
    assert same_bits(one, other) and not same_bits(one, plain)
    refused = d2lrun(*words[2:], "model=softmax", "optimizer.head_factor=10")
    assert refused.code == 2 and "optimizer.head_factor: this network has no last layer" in refused.err
