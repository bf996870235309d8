from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.evaluate import evaluate, exhaust, probabilities
from d2lrun.tasks import Classification

TASK = Classification(10)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))


@pytest.fixture
def data(stripes):
    return stripes.test_images, stripes.test_labels


@pytest.fixture
def batches(stripes):
    """``batches(size)``: the test set in batches of so many."""
    return lambda size, limit=None: stripes.batches(stripes.test_images, stripes.test_labels, size, limit)


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
def test_it_is_the_loop_over_single_examples(model, data, batches, size):
    measured = exhaust(evaluate("test", model, batches(size), TASK))
    assert measured == pytest.approx(one_by_one(model, *data), abs=1e-6)


def test_a_limit_takes_the_first_batches(model, data, batches):
    measured = exhaust(evaluate("test", model, batches(8, limit=3), TASK))
    assert measured == pytest.approx(one_by_one(model, *(part[:24] for part in data)), abs=1e-6)


def test_it_pauses_after_every_batch_outside_inference_mode(model, batches):
    pauses = 0
    for _ in evaluate("val", model, batches(50), TASK):
        pauses += 1
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert pauses == 3


def test_no_gradient_is_prepared(model, batches):
    modes = []
    model.register_forward_hook(lambda module, inputs, output: modes.append(output.requires_grad))
    exhaust(evaluate("val", model, batches(50), TASK))
    probabilities(model, (inputs for inputs, _ in batches(50)))
    assert modes == [False] * 6


def test_the_model_is_as_before_but_in_evaluation(model, batches):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    exhaust(evaluate("val", model.train(), batches(50), TASK))
    assert not model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_names_carry_the_part(model, batches):
    assert list(exhaust(evaluate("val", model, batches(50), TASK))) == ["val_loss", "val_accuracy"]


def test_probabilities_are_the_softmax_of_the_logits(model, data, batches):
    found = probabilities(model.train(), (inputs for inputs, _ in batches(30)))
    logits = model.eval()(data[0].float() / 255).detach()
    torch.testing.assert_close(found, logits.exp() / logits.exp().sum(dim=1, keepdim=True), rtol=1e-5, atol=1e-7)
