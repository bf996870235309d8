from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from d2lrun.models import rnn
from d2lrun.models.inputs import Stream
from d2lrun.models.ngram import NGram
from d2lrun.tasks.classification.task import Classification
from d2lrun.tasks.language_model.stream import TextSubset
from d2lrun.tasks.language_model.task import LanguageModel
from d2lrun.training.evaluate import evaluate, exhaust, over_batches
from tests.bits import same_bits

TASK = Classification(10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))


@pytest.fixture
def data(stripes):
    return stripes.test_images, stripes.test_labels


@pytest.fixture
def part(stripes):
    return stripes.part("test")


def one_by_one(model, images, labels):
    """Loss and accuracy example by example, in double precision."""
    model.eval()
    losses, hits = [], []
    for image, label in zip(images, labels):
        logits = model(image[None].float() / 255).double().detach()
        losses.append(F.cross_entropy(logits, label[None]).item())
        hits.append(logits.argmax().item() == label.item())
    return {"test_loss": sum(losses) / len(losses), "test_accuracy": sum(hits) / len(hits)}


@pytest.mark.parametrize("size", [1, 7, 50, 100, 101, 1000])  # 101 examples: most leave a short last batch
def test_it_is_the_loop_over_single_examples(model, data, part, size):
    measured = exhaust(evaluate("test", model, part, TASK, size))
    assert measured == pytest.approx(one_by_one(model, *data), abs=1e-6)


def test_a_limited_part_is_its_first_batches(model, data, part):
    limited = part.limited(3, 8)
    assert (limited.size, limited.of) == (24, 101)
    measured = exhaust(evaluate("test", model, limited, TASK, 8))
    assert measured == pytest.approx(one_by_one(model, *(tensor[:24] for tensor in data)), abs=1e-6)


def test_it_pauses_after_every_batch_outside_inference_mode(model, part):
    pauses = 0
    for _ in evaluate("val", model, part, TASK, 50):
        pauses += 1
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert pauses == 3


def test_no_gradient_is_prepared(model, part):
    modes = []
    model.register_forward_hook(lambda module, inputs, output: modes.append(output.requires_grad))
    exhaust(evaluate("val", model, part, TASK, 50))
    over_batches(model, (part.load(batch)[0] for (batch,) in part.ordered(50)))
    assert modes == [False] * 6


def test_the_model_is_as_before_but_in_evaluation(model, part):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exhaust(evaluate("val", model.train(), part, TASK, 50))
    assert not model.training
    assert same_bits(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_names_carry_the_part(model, part):
    assert list(exhaust(evaluate("val", model, part, TASK, 50))) == ["val_loss", "val_accuracy"]


def test_outputs_over_batches_are_those_in_eval_mode(model, data, part):
    found = over_batches(model.train(), (part.load(batch)[0] for (batch,) in part.ordered(30)))
    logits = model.eval()(data[0].float() / 255).detach()
    torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-6)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    arguments = {"layers": 1, "bidirectional": False, "dropout": 0.0, "embedding": None, "tied": False}
    return rnn.build(inputs=Stream(35), classes=6, hidden=8, impl="torch", **arguments)


def token_by_token(model, tokens):
    """Summed loss of a stream that is fed token by token, in double precision."""
    total, state = 0.0, None
    for at in range(len(tokens) - 1):
        logits, state = model(tokens[at].long().reshape(1, 1), state)
        total += F.cross_entropy(logits[0].double(), tokens[at + 1].long().reshape(1)).item()
    return total


def text(count, steps=7, seed=1):
    tokens = torch.randint(6, (count,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
    return TextSubset(tokens, steps, sampling="sequential")


@pytest.mark.parametrize("count", [2, 3, 7, 8, 129, 1024, 1025, 3000])
def test_a_text_is_measured_as_by_a_loop_that_reads_it_token_by_token(reader, count):
    """The rows beside each other begin with a history long enough for this network."""
    part = text(count)
    measured = exhaust(evaluate("val", reader.eval(), part, LanguageModel(8, stateful=True), 5))
    with torch.no_grad():
        loss = token_by_token(reader, part.tokens) / (count - 1)
    wanted = {"val_loss": loss, "val_perplexity": math.exp(loss), "val_bits_per_character": loss / math.log(2)}
    assert measured == pytest.approx(wanted, abs=1e-5)


@given(st.integers(2, 20_000), st.integers(1, 90), st.integers(1, 70))
def test_every_token_but_the_first_is_predicted_once_whatever_the_batch(count, steps, size):
    part = TextSubset(torch.arange(count, dtype=torch.int32), steps, sampling="sequential")
    batches = [batch for chain in part.ordered(size) for batch in chain]
    predicted = torch.cat([part.load(batch)[1].flatten() for batch in batches])
    assert predicted.sort().values.tolist() == list(range(1, count))
    assert max(len(batch.starts) for batch in batches) <= size
    assert part.count(batches) == count - 1


@pytest.mark.parametrize("network", ["rnn", "ngram"])
def test_the_perplexity_of_a_text_does_not_depend_on_the_batch(reader, network):
    part = text(5000)
    model = (
        reader
        if network == "rnn"
        else NGram(inputs=Stream(35), classes=6, order=4, smoothing="kneser-ney", strength=[1.0])
    )
    if network == "ngram":
        model.fit(text(400, seed=2).tokens)
    found = [exhaust(evaluate("val", model, part, LanguageModel(8, True), size)) for size in (1, 7, 32, 1000)]
    assert all(each == pytest.approx(found[0], rel=1e-6) for each in found)


def test_a_counting_model_is_measured_as_one_stream_exactly():
    part, model = text(5000), NGram(inputs=Stream(35), classes=6, order=6, smoothing="witten-bell", strength=[1.0])
    model.fit(text(400, seed=2).tokens)
    loss = -model.log_probabilities(part.tokens)[1:].mean().item()
    assert exhaust(evaluate("val", model, part, LanguageModel(8, True), 3))["val_loss"] == pytest.approx(loss, rel=1e-6)
