from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.datasets.stream import TextPart
from d2lrun.evaluate import evaluate, exhaust, probabilities
from d2lrun.models import rnn
from d2lrun.tasks import Classification, LanguageModel

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


def test_a_limit_takes_the_first_batches(model, data, part):
    measured = exhaust(evaluate("test", model, part, TASK, 8, limit=3))
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
    probabilities(model, (part.load(batch)[0] for batch in part.ordered(50)))
    assert modes == [False] * 6


def test_the_model_is_as_before_but_in_evaluation(model, part):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exhaust(evaluate("val", model.train(), part, TASK, 50))
    assert not model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_names_carry_the_part(model, part):
    assert list(exhaust(evaluate("val", model, part, TASK, 50))) == ["val_loss", "val_accuracy"]


def test_probabilities_are_the_softmax_of_the_logits(model, data, part):
    found = probabilities(model.train(), (part.load(batch)[0] for batch in part.ordered(30)))
    logits = model.eval()(data[0].float() / 255).detach()
    torch.testing.assert_close(found, logits.exp() / logits.exp().sum(dim=1, keepdim=True), rtol=1e-5, atol=1e-7)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    arguments = {"layers": 1, "bidirectional": False, "dropout": 0.0, "embedding": None, "tied": False}
    return rnn.build(inputs=None, classes=6, hidden=8, impl="torch", **arguments)


def token_by_token(model, tokens, rows, steps):
    """Summed loss and number of tokens of ``rows`` rows side by side, each fed one by one, in double precision."""
    length = (len(tokens) - 1) // rows // steps * steps
    total = 0.0
    for row in range(rows):
        state, begin = None, row * ((len(tokens) - 1) // rows)
        for at in range(begin, begin + length):
            logits, state = model(tokens[at].long().reshape(1, 1), state)
            total += F.cross_entropy(logits[0].double(), tokens[at + 1].long().reshape(1)).item()
    return total, rows * length


@pytest.mark.parametrize("count, size, rows", [(400, 32, 1), (1300, 32, 5), (1300, 2, 2)])
def test_a_text_is_measured_as_by_a_loop_that_reads_it_token_by_token(reader, count, size, rows):
    """In rows of 64 windows or more, each with its state carried from its beginning to its end."""
    tokens = torch.randint(6, (count,), generator=torch.Generator().manual_seed(1), dtype=torch.int32)
    part = TextPart(tokens, steps=4, sampling="sequential")
    measured = exhaust(evaluate("val", reader.eval(), part, LanguageModel(carries=True), size))
    with torch.no_grad():
        total, units = token_by_token(reader, tokens, rows, steps=4)
    loss = torch.tensor(total / units, dtype=torch.float64)
    assert measured == pytest.approx({"val_loss": loss.item(), "val_perplexity": loss.exp().item()}, abs=1e-6)
