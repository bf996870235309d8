from __future__ import annotations

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from d2lrun.config.keys import Adam, Constant, Cosine, Step
from d2lrun.training.optim import build, learning_rate

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


def test_sgd_gets_its_arguments():
    config = SimpleNamespace(name="sgd", lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01, decay_bias=True)
    optimizer = build(config, parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer) is torch.optim.SGD
    assert {key: group[key] for key in ("lr", "momentum", "nesterov", "weight_decay", "dampening")} == {
        **{"lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        "dampening": 0,
    }


@pytest.mark.parametrize("name, kind", [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_gets_its_arguments(name, kind):
    optimizer = build(Adam(name, 0.002, 0.8, 0.95, 1e-6, 0.03, True), parameters())
    group = optimizer.param_groups[0]
    assert type(optimizer) is kind
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
