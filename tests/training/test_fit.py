"""The loop against a plain one, written out here after the book's definition (BOOK.md §3)."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional as F

from d2lrun import models
from d2lrun.config.compose import compose
from d2lrun.config.keys import Holdout
from d2lrun.errors import Diverged, Refused
from d2lrun.models.inputs import Stream
from d2lrun.tasks import task_of
from d2lrun.tasks.classification.task import Classification
from d2lrun.tasks.language_model.stream import TextDataset, starts
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training import devices, optim
from d2lrun.training.examples import order
from d2lrun.training.fit import State, fit, keep_best
from tests.bits import same_bits, timeless

# torch.compile imports a part of torch that uses a deprecated one
compiles = pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")

CONTRACT = {
    *("epoch", "step", "seconds", "lr", "train_loss", "train_accuracy"),
    *("test_loss", "test_accuracy", "examples_per_second"),
}


@lru_cache
def composed(*overrides):
    return compose(list(overrides))


def configure(*overrides, **train):
    """A config for 330 examples: 6 batches, the last one of 10."""
    config = copy.deepcopy(composed(*overrides))
    return replace(config, train=replace(config.train, **{"epochs": 2, "batch_size": 64, **train}))


class Training:
    """A state and the loop that trains it."""

    def __init__(self, config, data):
        torch.manual_seed(config.seed)
        self.model = models.build(config.model, data.inputs, data.outputs)
        cpu = torch.device("cpu")
        devices.place(self.model, cpu, config.device)
        optimizer = optim.build(config.optimizer, (one for one in self.model.parameters() if one.requires_grad))
        self.state = State(
            self.model, optimizer, devices.scaler(cpu, config.device), torch.zeros(2, dtype=torch.float64)
        )
        parts = data.split(config.validation, config.seed)
        self.parts = parts.limited(config.train.limit_batches, config.train.batch_size)
        self.loop = fit(self.state, self.parts, Classification(data.outputs), config)

    def finish(self):
        self.records = [record for record in self.loop if record is not None]
        return self

    def advance(self, pauses):
        for _ in range(pauses):
            next(self.loop)
        return self

    def weights(self):
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def kept(state):
    """A state dict as a checkpoint keeps it."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def plain_loop(config, data):
    """Plain SGD; loss and accuracy are summed before each update; the short last batch is kept."""
    torch.manual_seed(config.seed)
    net = models.build(config.model, data.inputs, data.outputs)
    records = []
    for epoch in range(config.train.epochs):
        net.train()
        loss_sum = hits = examples = 0.0
        shuffled = order(torch.arange(len(data.train_labels)), config.seed, epoch).tolist()
        for start in range(0, len(shuffled), config.train.batch_size):
            chosen = shuffled[start : start + config.train.batch_size]
            x, y = data.train_images[chosen].float() / 255, data.train_labels[chosen]
            y_hat = net(x)
            loss = F.cross_entropy(y_hat, y)
            for parameter in net.parameters():
                parameter.grad = None
            loss.backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.sub_(parameter.grad, alpha=config.optimizer.lr)
            loss_sum += F.cross_entropy(y_hat.detach().double(), y, reduction="sum").item()
            hits += (y_hat.argmax(1) == y).sum().item()
            examples += len(chosen)
        net.eval()
        logits = net(data.test_images.float() / 255).detach()
        records.append(
            {
                "train_loss": loss_sum / examples,
                "train_accuracy": hits / examples,
                "test_loss": F.cross_entropy(logits.double(), data.test_labels).item(),
                "test_accuracy": (logits.argmax(1) == data.test_labels).double().mean().item(),
            }
        )
    return net, records


class OneHot(Classification):
    """The same task with labels [B, K] of 0 and 1."""

    def count(self, logits, labels, loss):
        return super().count(logits, labels.argmax(dim=1), loss)


def test_an_example_with_several_targets_counts_once(stripes):
    """Labels as vectors come to the metrics of labels as numbers."""
    config = configure("model=softmax", epochs=1)
    numbers, vectors = Training(config, stripes), Training(config, stripes)
    parts = {"train": vectors.parts.train, "test": vectors.parts.test}
    parts = {name: replace(part, labels=F.one_hot(part.labels, 10).float()) for name, part in parts.items()}
    vectors.loop = fit(vectors.state, replace(vectors.parts, **parts), OneHot(10), config)
    (wanted,), (found,) = numbers.finish().records, vectors.finish().records
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-5)


@pytest.fixture(scope="module", params=["softmax", "mlp", "lenet"])
def both(request, stripes):
    config = configure(f"model={request.param}", "device.channels_last=false", epochs=3)
    return Training(config, stripes).finish(), *plain_loop(config, stripes)


def test_the_weights_are_those_of_the_plain_loop_bit_for_bit(both):
    ours, net, _ = both
    assert same_bits(ours.weights(), net.state_dict())


def test_the_records_are_those_of_the_plain_loop(both):
    ours, _, records = both
    for record, wanted in zip(ours.records, records, strict=True):
        measured = {name: record[name] for name in wanted}
        assert measured == pytest.approx(wanted, rel=1e-6)  # the losses of a batch are float32
        assert measured["train_accuracy"] == wanted["train_accuracy"]


def test_a_record_has_the_keys_of_the_contract(both):
    ours, _, _ = both
    assert [set(record) for record in ours.records] == [CONTRACT] * 3
    assert [(record["epoch"], record["step"], record["lr"]) for record in ours.records] == [
        (epoch, 6 * epoch, ours.state.optimizer.param_groups[0]["lr"]) for epoch in (1, 2, 3)
    ]


def test_speed_is_examples_by_seconds(both):
    for record in both[0].records:
        assert record["seconds"] > 0
        assert record["examples_per_second"] * record["seconds"] == pytest.approx(330)


def test_the_state_counts_and_keeps_the_records(both):
    state, records = both[0].state, both[0].records
    assert (state.epoch, state.batch, state.step, state.seconds) == (3, 0, 18, 0)
    assert state.records == records
    assert state.sums.tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(1, 200))
def test_the_order_of_an_epoch_is_a_pure_permutation(seed, epoch, count):
    index = torch.arange(count) * 3
    shuffled = order(index, seed, epoch)
    assert sorted(shuffled.tolist()) == index.tolist()
    torch.rand(1)
    assert torch.equal(order(index, seed, epoch), shuffled)


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(order(torch.arange(50), seed, epoch).tolist()) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_the_order_leaves_the_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    order(torch.arange(50), 1, 2)
    assert torch.equal(torch.rand(3), expected)


STOPPABLE = {
    "adam, dropout": ("model=mlp", "model.dropout=[0.5]", "optimizer=adam", "schedule=cosine", "schedule.warmup=1"),
    "momentum, clip": ("model=mlp", "model.dropout=[0.2]", "optimizer.momentum=0.9", "train.clip=0.5"),
    "patience": ("model=mlp", "optimizer=adamw", "validation=holdout", "train.patience=1"),
}


@pytest.fixture(scope="module", params=STOPPABLE)
def golden(request, stripes):
    config = configure(*STOPPABLE[request.param], "model.hidden=[16]")
    return config, Training(config, stripes).finish()


def pauses_of(config, data):
    return sum(1 for _ in Training(config, data).loop)


def test_stopped_at_any_pause_it_goes_on_with_the_same_bits(golden, stripes):
    config, whole = golden
    for pauses in range(pauses_of(config, stripes) + 1):
        saved = kept(Training(config, stripes).advance(pauses).state.state_dict())
        torch.manual_seed(pauses)
        torch.rand(pauses)  # another process has drawn other numbers
        fresh = Training(config, stripes)
        fresh.state.load_state_dict(saved)
        fresh.finish()
        assert same_bits(fresh.weights(), whole.weights()), f"stopped after {pauses} pauses"
        assert [timeless(record) for record in fresh.state.records] == [timeless(r) for r in whole.records]
        assert (fresh.state.best is None) == (config.train.patience is None)


def test_a_pause_comes_after_each_batch_of_training_and_evaluation(stripes):
    kinds = [record is not None for record in Training(configure(epochs=1), stripes).loop]
    assert kinds == [False] * (6 + 2) + [True]  # 330 and 101 examples in batches of 64


def test_a_state_of_another_network_is_not_taken(stripes):
    state = Training(configure("model=lenet"), stripes).state.state_dict()
    with pytest.raises(RuntimeError):
        Training(configure("model=softmax"), stripes).state.load_state_dict(state)


def gradient_norms(config, data):
    """Before clipping: the length of each step's gradient, as one vector in double precision."""
    training, norms = Training(config, data), []
    for _ in range(6):
        chosen = order(torch.arange(330), config.seed, 0)[64 * len(norms) :][:64]
        net = copy.deepcopy(training.model).train()
        F.cross_entropy(net(data.train_images[chosen].float() / 255), data.train_labels[chosen]).backward()
        norms.append(torch.cat([p.grad.double().flatten() for p in net.parameters()]).norm().item())
        training.advance(1)
    return norms, training.finish().records


@pytest.mark.parametrize("clip", [0.05, 1e6])
def test_the_recorded_norm_is_the_mean_before_clipping(clip, stripes):
    norms, records = gradient_norms(configure("model=softmax", epochs=1, clip=clip), stripes)
    assert records[0]["grad_norm"] == pytest.approx(sum(norms) / 6, rel=1e-5)
    assert set(records[0]) == CONTRACT | {"grad_norm", "clipped"}


def step_length(config, data):
    """How far plain SGD moves in its first step, in units of the learning rate: the gradient's norm."""
    training = Training(config, data)
    before = training.weights()
    after = training.advance(1).weights()
    return torch.cat([(after[n] - before[n]).flatten() for n in before]).double().norm().item() / config.optimizer.lr


@pytest.mark.parametrize("clip", [0.001, 0.05, 0.5])
def test_a_step_is_no_longer_than_the_clip(clip, stripes):
    free = step_length(configure("model=softmax"), stripes)
    assert free > 0.5
    assert step_length(configure("model=softmax", clip=clip), stripes) == pytest.approx(clip, rel=1e-3)
    assert step_length(configure("model=softmax", clip=2 * free), stripes) == pytest.approx(free, rel=1e-6)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_ends_the_run_before_the_step(poison, stripes):
    training = Training(configure("model=softmax", "optimizer.momentum=0.9"), stripes).advance(6 + 2 + 1 + 1)
    with torch.no_grad():
        next(training.model.parameters())[0, 0] = poison
    weights, optimizer = training.weights(), copy.deepcopy(training.state.optimizer.state_dict())
    with pytest.raises(Diverged, match=r"diverged: loss nan, gradient norm nan at epoch 2, step 8, lr 0.1"):
        training.advance(1)
    assert all(torch.equal(weights[n].nan_to_num(9), t.nan_to_num(9)) for n, t in training.weights().items())
    assert torch.equal(
        optimizer["state"][0]["momentum_buffer"], training.state.optimizer.state_dict()["state"][0]["momentum_buffer"]
    )
    assert training.state.step == 7


class Infinite(torch.autograd.Function):
    """Passes its input on and gives an infinite gradient."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


def test_an_infinite_gradient_of_a_finite_loss_ends_the_run(stripes):
    training = Training(configure("model=softmax"), stripes)
    training.model.register_forward_hook(lambda module, inputs, output: Infinite.apply(output))
    before = training.weights()
    with pytest.raises(Diverged, match=r"loss 2\.\d+, gradient norm (inf|nan)"):
        training.advance(1)
    assert same_bits(before, training.weights())


def with_losses(monkeypatch, losses):
    """The loop, told these validation losses."""
    told = iter(losses)

    def evaluate(name, *arguments):
        yield None
        return {"val_loss": next(told), "val_accuracy": 0.5}

    monkeypatch.setattr("d2lrun.training.fit.evaluate", evaluate)


@pytest.mark.parametrize(
    "patience, losses, stops, best",
    [
        (1, [3, 2, 2.5, 1], 3, 2),
        (2, [3, 2, 2.5, 1, 4, 4, 0], 6, 4),
        (2, [1, 2, 3, 0], 3, 1),
        (3, [5, 4, 3, 2, 1, 0.5, 0.4, 0.3], 8, 8),
        (1, [2, 2, 1], 2, 1),  # no lower: equal is not better
    ],
)
def test_patience_ends_the_run_and_keeps_the_best(monkeypatch, stripes, patience, losses, stops, best):
    with_losses(monkeypatch, losses)
    config = configure("model=softmax", "validation=holdout", epochs=8, patience=patience)
    training, at_epoch = Training(config, stripes), {}
    for record in training.loop:
        if record:
            at_epoch[record["epoch"]] = training.weights()
    assert len(at_epoch) == stops
    assert training.state.best["epoch"] == best
    assert training.state.best["val_loss"] == losses[best - 1]
    assert same_bits(training.state.best["model"], at_epoch[best])


@pytest.mark.parametrize(
    "patience, accuracies, epochs, best",
    [(None, [0.1, 0.6, 0.6, 0.2], 4, 2), (2, [0.5, 0.1, 0.2, 0.9], 3, 1), (None, [0.1, 0.2, 0.3, 0.4], 4, 4)],
)
def test_the_best_epoch_by_the_ranking_metric_is_kept_if_asked(
    monkeypatch, stripes, patience, accuracies, epochs, best
):
    """The loss falls in every epoch: it has no say."""
    records = iter([{"val_loss": 1 / n, "val_accuracy": accuracy} for n, accuracy in enumerate(accuracies, start=1)])

    def evaluate(*given):
        yield None
        return next(records)

    monkeypatch.setattr("d2lrun.training.fit.evaluate", evaluate)
    config = configure("model=softmax", "validation=holdout", "train.keep=best", epochs=4, patience=patience)
    state = Training(config, stripes).finish().state
    assert (len(state.records), state.best["epoch"], state.best["val_loss"]) == (epochs, best, 1 / best)


def test_without_patience_no_best_is_kept(stripes):
    assert Training(configure("model=softmax", "validation=holdout"), stripes).finish().state.best is None


def test_with_validation_the_test_set_is_not_looked_at(stripes):
    config = configure("model=softmax", "validation=holdout", epochs=1)
    training = Training(config, stripes)
    training.parts = replace(training.parts, test=None)
    training.loop = fit(training.state, training.parts, Classification(10), config)
    (record,) = training.finish().records
    assert set(record) == {name.replace("test_", "val_") for name in CONTRACT}


def test_validation_examples_do_not_train(stripes):
    config = replace(configure("model=softmax", epochs=1), validation=Holdout("holdout", 0.5, False))
    val = stripes.split(config.validation, config.seed).val.index
    black = replace(stripes, train_images=stripes.train_images.index_fill(0, val, 0))
    assert same_bits(*(Training(config, data).finish().weights() for data in (stripes, black)))


def test_a_limit_of_batches_counts_in_training_and_evaluation(stripes):
    (record,) = Training(configure("model=softmax", epochs=1, limit_batches=2, batch_size=10), stripes).finish().records
    assert record["step"] == 2
    assert record["examples_per_second"] * record["seconds"] == pytest.approx(20)
    assert {round(record[name] * 20, 6) % 1 for name in ("train_accuracy", "test_accuracy")} == {0}


def test_the_rate_follows_the_schedule_within_an_epoch(stripes):
    config = configure("model=softmax", "schedule=cosine", "schedule.warmup=1")
    training, rates = Training(config, stripes), []
    for _ in range(6):
        rates.append(training.advance(1).state.optimizer.param_groups[0]["lr"])
    assert rates == [optim.learning_rate(config.schedule, 0.1, Fraction(batch, 6), 2) for batch in range(6)]


def test_batches_train_in_train_mode_after_an_evaluation(stripes):
    training, modes = Training(configure("model=mlp"), stripes), []
    training.model.register_forward_pre_hook(lambda module, inputs: modes.append(module.training))
    training.finish()
    assert modes == ([True] * 6 + [False] * 2) * 2


def test_the_data_stay_untouched(stripes):
    before = stripes.train_images.clone(), stripes.test_images.clone()
    Training(configure("model=softmax"), stripes).finish()
    assert torch.equal(before[0], stripes.train_images) and torch.equal(before[1], stripes.test_images)


def test_a_network_of_ones_own_trains_too(stripes):
    config, net = configure("model=softmax"), nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Dropout(0.1))
    scaler = devices.scaler(torch.device("cpu"), config.device)
    state = State(net, optim.build(config.optimizer, net.parameters()), scaler, torch.zeros(2))
    parts = stripes.split(config.validation, 0)
    records = [record for record in fit(state, parts, Classification(10), config) if record]
    assert records[1]["train_loss"] < records[0]["train_loss"]


def test_a_val_loss_that_is_not_finite_never_stays_the_best(stripes):
    state = Training(configure(), stripes).state
    for epoch, val_loss in enumerate((float("nan"), 0.7, float("inf"), 0.8), start=1):
        keep_best(state, {"epoch": epoch, "val_loss": val_loss}, "val_loss")
    assert (state.best["epoch"], state.best["val_loss"]) == (2, 0.7)


# The network, how it is computed, and how far its gradient may be from that of float32.
PRECISE = {
    "bf16": ("mlp", ["device.precision=bf16"], 4e-2),
    "fp16": ("mlp", ["device.precision=fp16"], 1e-2),
    "bf16, convolutions": ("lenet", ["device.precision=bf16"], 4e-2),
    "fp16, convolutions": ("lenet", ["device.precision=fp16"], 1e-2),
    "channels first": ("lenet", ["device.channels_last=false"], 1e-5),
    "compiled": ("mlp", ["device.compile=true"], 1e-5),
    "bf16, compiled": ("mlp", ["device.compile=true", "device.precision=bf16"], 4e-2),
}


def first_step(config, data, **changes):
    """What the first step of plain SGD takes away from the weights, by the learning rate: the gradient."""
    training = Training(config, data)
    for key, value in changes.items():
        setattr(training.state, key, value)
    before = training.weights()
    after = training.advance(1).weights()
    return torch.cat([(before[name] - after[name]).double().flatten() for name in before]) / config.optimizer.lr


@compiles
@pytest.mark.parametrize("model, words, tolerance", PRECISE.values(), ids=PRECISE)
def test_however_it_is_computed_the_gradient_is_that_of_float32(stripes, model, words, tolerance):
    settings = compose(words).device
    if settings.compile and devices.compiler_missing(torch.device("cpu")):
        with pytest.raises(Refused, match=r"device\.compile=true: "):
            devices.prepare(settings)
        return
    exact = first_step(configure(f"model={model}", "optimizer.lr=1"), stripes)
    found = first_step(configure(f"model={model}", "optimizer.lr=1", *words), stripes)
    assert (found - exact).norm() < tolerance * exact.norm()
    if settings.precision != "fp32":
        assert (found - exact).norm() > 1e-4 * exact.norm()  # it did compute in another type


class Faint(Classification):
    """A loss so small that its gradients are 0 in fp16."""

    def loss(self, logits, labels):
        return 1e-7 * super().loss(logits, labels)


def faint_gradient(data, scale):
    """The length of the first gradient of that loss in fp16, scaled by ``scale``."""
    config = configure("model=mlp", "device.precision=fp16")
    training = Training(config, data)
    training.state.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    training.loop = fit(training.state, training.parts, Faint(10), config)
    training.advance(1)
    return torch.cat([parameter.grad.flatten() for parameter in training.model.parameters()]).norm().item()


def test_in_fp16_small_gradients_do_not_vanish_for_the_scale(stripes):
    free = first_step(configure("model=mlp", "optimizer.lr=1"), stripes).norm().item()
    assert faint_gradient(stripes, 2.0**16) == pytest.approx(1e-7 * free, rel=0.02)
    assert faint_gradient(stripes, 1.0) < 0.9e-7 * free


def scaled(config, data, scale):
    """A training in fp16 that begins with this scale, and doubles it after every second step."""
    training = Training(config, data)
    training.state.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=2)
    return training


def scales_and_weights(training, steps):
    found = []
    for _ in range(steps):
        training.advance(1)
        found.append((training.state.scaler.get_scale(), training.weights()))
    return found


FP16 = ("model=mlp", "model.hidden=[16]", "device.precision=fp16")


def test_a_scale_that_is_too_large_costs_a_step_and_is_halved(stripes):
    """Times 2^22 the gradients of the last layer are more than fp16 holds, 65504; soon they are not."""
    training = scaled(configure(*FP16), stripes, 2.0**22)
    before, scale, skipped = training.weights(), 2.0**22, 0
    for step in range(1, 7):
        training.advance(1)
        after, halved = training.weights(), training.state.scaler.get_scale() == scale / 2
        assert same_bits(before, after) == halved, step
        before, scale, skipped = after, training.state.scaler.get_scale(), skipped + halved
    assert 1 <= skipped <= 5
    assert training.state.step == 6


def test_after_steps_that_are_small_enough_the_scale_grows(stripes):
    training = scaled(configure(*FP16), stripes, 2.0**10)
    assert [scale for scale, _ in scales_and_weights(training, 4)] == [2.0**10, 2.0**11, 2.0**11, 2.0**12]


def test_a_skipped_step_counts_its_examples(stripes):
    config = configure(*FP16, "optimizer.lr=1e-30", epochs=1)
    (skipped,), (taken,) = (scaled(config, stripes, scale).finish().records for scale in (2.0**60, 1.0))
    assert (skipped["step"], skipped["train_loss"]) == (6, pytest.approx(taken["train_loss"], rel=1e-6))


def test_in_fp16_a_loss_that_is_none_ends_the_run(stripes):
    training = scaled(configure(*FP16), stripes, 2.0**16).advance(2)
    with torch.no_grad():
        next(training.model.parameters())[0, 0] = float("nan")
    with pytest.raises(Diverged, match=r"diverged: loss nan, .* step 3"):
        training.advance(1)


def test_in_fp16_a_gradient_that_no_scale_can_help_ends_the_run(stripes):
    training = scaled(configure(*FP16), stripes, 2.0**3)
    training.model.register_forward_hook(lambda module, inputs, output: Infinite.apply(output))
    training.advance(3)  # it tries 8, 4 and 2
    assert training.state.scaler.get_scale() == 1
    with pytest.raises(Diverged, match=r"loss 2\.\d+, gradient norm (inf|nan)"):
        training.advance(1)


def test_clipping_and_its_record_are_of_the_gradient_without_its_scale(stripes):
    config, exact = (configure(*FP16[:2], *word, epochs=1, clip=0.05) for word in (FP16[2:], ()))
    ours, plain = scaled(config, stripes, 2.0**10).finish(), Training(exact, stripes).finish()
    assert ours.records[0]["grad_norm"] == pytest.approx(plain.records[0]["grad_norm"], rel=0.01)
    assert ours.records[0]["grad_norm"] > 0.06  # it was clipped
    moved, wanted = (first_step(one, stripes) for one in (config, exact))
    assert [moved.norm().item(), wanted.norm().item()] == pytest.approx([0.05, 0.05], rel=0.01)


def test_a_skipped_step_has_no_part_in_the_recorded_norm(stripes):
    """At so small a rate every step has much the same gradient, whichever were skipped."""
    config = configure(*FP16, "optimizer.lr=1e-30", epochs=1, clip=1e6)
    (skipped,), (taken,) = (scaled(config, stripes, scale).finish().records for scale in (2.0**21, 2.0**10))
    assert skipped["grad_norm"] == pytest.approx(taken["grad_norm"], rel=0.3)


def test_the_scale_goes_on_from_where_it_was_kept(stripes):
    config = configure(*FP16, "model.dropout=[0.5]")
    whole = scaled(config, stripes, 2.0**25).finish()
    for pauses in (1, 3, 5, 6, 9):  # while it is halved, and while it grows
        saved = kept(scaled(config, stripes, 2.0**25).advance(pauses).state.state_dict())
        fresh = scaled(config, stripes, 2.0**25)
        fresh.state.load_state_dict(saved)
        assert fresh.state.scaler.get_scale() == saved["scaler"]["scale"]
        fresh.finish()
        assert same_bits(fresh.weights(), whole.weights()), pauses
        assert fresh.state.scaler.state_dict() == whole.state.scaler.state_dict()


def test_in_other_precisions_there_is_no_scale_to_keep(stripes):
    assert Training(configure("device.precision=bf16"), stripes).state.state_dict()["scaler"] == {}


@compiles
def test_compiled_it_goes_on_with_the_same_bits(stripes):
    """Stopped before an epoch's last batch, which is shorter: its code may not depend on what came before."""
    config = configure("model=mlp", "model.hidden=[16]", "model.dropout=[0.5]", "device.compile=true")
    if missing := devices.compiler_missing(torch.device("cpu")):
        with pytest.raises(Refused, match=missing):
            devices.prepare(config.device)
        return
    torch._dynamo.reset()
    counters.clear()
    whole = Training(config, stripes).finish()
    assert counters["stats"]["unique_graphs"] == 4  # batches of 64 and 10 to train on, 64 and 37 to evaluate
    for pauses in (5, 10):
        saved = kept(Training(config, stripes).advance(pauses).state.state_dict())
        torch._dynamo.reset()
        fresh = Training(config, stripes)
        fresh.state.load_state_dict(saved)
        assert same_bits(fresh.finish().weights(), whole.weights()), pauses


def test_frozen_parameters_are_not_the_optimizers_and_do_not_move(stripes):
    config = configure("model=mlp", "model.freeze=['1.*']", "optimizer=adamw", "optimizer.weight_decay=0.5")
    training = Training(config, stripes)
    before = training.weights()
    held = {id(one) for group in training.state.optimizer.param_groups for one in group["params"]}
    assert held == {id(one) for name, one in training.model.named_parameters() if name[0] == "3"}
    after = training.finish().weights()
    assert {name for name in before if torch.equal(before[name], after[name])} == {"1.weight", "1.bias"}


@pytest.mark.parametrize("clip", [1e-9, 0.3, 1e6])
def test_the_share_of_steps_that_were_clipped_is_recorded(clip, stripes):
    norms, records = gradient_norms(configure("model=softmax", epochs=1, clip=clip), stripes)
    assert records[0]["clipped"] == sum(norm > clip for norm in norms) / 6


# --- texts -------------------------------------------------------------------------------------------------------

SMALL_RNN = ("model=rnn", "model.hidden=8", "dataset=pydoc", "dataset.steps=5")


def sentence(sampling="sequential"):
    """400 tokens of 7 kinds in a fixed random order."""
    tokens = torch.randint(1, 7, (400,), generator=torch.Generator().manual_seed(4), dtype=torch.int32)
    vocabulary = Vocabulary(["<unk>", *"abcdef"])
    return TextDataset("t", vocabulary, tokens, "here", "char", "none", steps=5, sampling=sampling)


class Reading(Training):
    """``Training`` of a language model."""

    def __init__(self, config, data):
        torch.manual_seed(config.seed)
        self.model = models.build(config.model, Stream(35), len(data.vocabulary))
        optimizer = optim.build(config.optimizer, self.model.parameters())
        scaler, sums = devices.scaler(torch.device("cpu"), config.device), torch.zeros(1, dtype=torch.float64)
        self.state = State(self.model, optimizer, scaler, sums)
        self.parts = data.split(config.validation, config.seed)
        self.loop = fit(self.state, self.parts, task_of(config, data), config)


def read_plainly(config, data):
    """Sequential: the state goes from batch to batch, cut off; random: each batch begins at zero (book 8.5.5)."""
    torch.manual_seed(config.seed)
    net, perplexities = models.build(config.model, Stream(35), len(data.vocabulary)), []
    for epoch in range(config.train.epochs):
        total, count, state = 0.0, 0, None
        for begins in starts(400, config.train.batch_size, 5, data.sampling, config.seed, epoch):
            x, y = (
                torch.stack([data.tokens[b + shift : b + shift + 5] for b in begins.tolist()]).long()
                for shift in (0, 1)
            )
            logits, state = net(x, state)
            state = state.detach() if data.sampling == "sequential" else None
            loss = F.cross_entropy(logits.reshape(-1, 7), y.reshape(-1))
            net.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), config.train.clip)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= config.optimizer.lr * parameter.grad
            total, count = total + loss.item() * y.numel(), count + y.numel()
        perplexities.append(math.exp(total / count))
    return net, perplexities


@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_a_language_model_trains_as_by_the_plain_loop(sampling):
    config, data = configure(*SMALL_RNN, epochs=3, batch_size=4), sentence(sampling)
    ours, (net, perplexities) = Reading(config, data).finish(), read_plainly(config, data)
    assert [record["train_perplexity"] for record in ours.records] == pytest.approx(perplexities, rel=1e-5)
    for name, wanted in net.state_dict().items():
        torch.testing.assert_close(ours.weights()[name], wanted, rtol=1e-4, atol=1e-6)


def test_a_language_models_record_counts_tokens_and_holds_no_test_set():
    config = configure(*SMALL_RNN, epochs=1, batch_size=4)
    (record,) = Reading(config, sentence()).finish().records
    assert set(record) == {
        *("epoch", "step", "seconds", "lr", "train_loss", "train_perplexity", "tokens_per_second"),
        *("grad_norm", "clipped"),
    }
    assert record["tokens_per_second"] * record["seconds"] == pytest.approx(record["step"] * 4 * 5)


@pytest.mark.parametrize("model", ["rnn", "lstm"])
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_a_language_model_stopped_at_any_pause_goes_on_with_the_same_bits(model, sampling):
    """The hidden state is in the checkpoint."""
    words = (f"model={model}", *SMALL_RNN[1:], "validation=holdout")
    config, data = configure(*words, epochs=2, batch_size=16), sentence(sampling)
    whole = Reading(config, data).finish()
    for pauses in range(sum(1 for _ in Reading(config, data).loop) + 1):
        fresh = Reading(config, data)
        fresh.state.load_state_dict(kept(Reading(config, data).advance(pauses).state.state_dict()))
        fresh.finish()
        assert same_bits(fresh.weights(), whole.weights()), f"stopped after {pauses} pauses"


def test_the_hidden_state_of_an_epoch_is_gone_at_its_end():
    config = configure(*SMALL_RNN, epochs=2, batch_size=16)
    training = Reading(config, sentence()).advance(1)
    assert training.state.carry is not None
    while next(training.loop) is None:
        pass
    assert training.state.carry is None
