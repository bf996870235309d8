"""Every network of the table, at the book's input and with its default arguments: it can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch.nn import functional as F

from d2lrun import datasets, models
from d2lrun.compose import compose
from d2lrun.config import MODELS

# BOOK.md; torchvision's resnet18 has 11,689,512 for 3 channels and 1000 classes.
PARAMETERS = {
    "softmax": 7_850,
    "mlp": 203_530,
    "lenet": 61_706,
    "lenet-bn": 44_878,
    "alexnet": 46_764_746,
    "vgg": 43_093_322,
    "nin": 1_992_166,
    "googlenet": 5_977_530,
    "resnet": 11_178_378,
    "densenet": 758_226,
    "torchvision": 11_689_512 - 2 * 64 * 7 * 7 - 990 * (512 + 1),
}
SIDES = {"alexnet": 224, "vgg": 224, "nin": 224, "googlenet": 96, "resnet": 96, "densenet": 96, "torchvision": 96}
PICTURES = 6


@dataclass
class Training:
    """What three steps of full-batch descent came to."""

    model: torch.nn.Module
    initial: dict[str, torch.Tensor]  # the weights of all layers before the first step
    gradients: dict[str, torch.Tensor | None]  # of the first step
    losses: list[float]


def configured(name):
    return compose([f"model={name}", "dataset.mirrors=[]"])


def build(name, seed):
    config = configured(name)
    torch.manual_seed(seed)
    return models.build(config.model, *datasets.form(config.dataset))


@lru_cache(maxsize=1)  # the tests of one network stand together
def train(name, seed=1):
    """A small rate suits every network, since its direction is downhill; each step drops the same units."""
    model, data = build(name, seed), datasets.load(configured(name).dataset)
    x, labels = data.inputs(data.train_images[:PICTURES]), data.train_labels[:PICTURES]
    initial = {key: weight.detach().clone() for key, weight in model.named_parameters() if weight.dim() > 1}
    optimizer, losses, gradients = torch.optim.SGD(model.parameters(), lr=0.01), [], {}
    for _ in range(3):
        torch.manual_seed(seed)
        loss = F.cross_entropy(model(x), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        gradients = gradients or {
            key: None if weight.grad is None else weight.grad.clone() for key, weight in model.named_parameters()
        }
        optimizer.step()
    return Training(model, initial, gradients, losses)


@pytest.fixture(scope="module", params=MODELS)
def name(request):
    return request.param


@pytest.fixture
def training(name, users_environment):
    return train(name)


def test_every_network_is_seen():
    assert set(MODELS) == set(PARAMETERS)
    assert len(PARAMETERS) == 11


def test_parameters_are_those_of_the_book(name, training):
    assert sum(parameter.numel() for parameter in training.model.parameters()) == PARAMETERS[name]


def test_the_input_is_the_books(name):
    side = SIDES.get(name, 28)
    assert datasets.form(configured(name).dataset) == ((1, side, side), 10)


def test_the_loss_falls_with_every_step(training):
    first, second, third = training.losses
    assert first > second > third


def test_every_parameter_gets_a_gradient(training):
    silent = [key for key, gradient in training.gradients.items() if gradient is None or not gradient.any()]
    assert [key for key in silent if not key.endswith(".bias")] == []
    assert all(gradient is not None for gradient in training.gradients.values())  # zero before a normalisation


def test_the_same_seed_gives_the_same_bits(name, training):
    again = train.__wrapped__(name)
    assert again.losses == training.losses
    wanted = training.model.state_dict()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in again.model.state_dict().items())


def test_another_seed_gives_other_weights_everywhere(name, training):
    other = dict(build(name, seed=2).named_parameters())
    assert len(training.initial) > 0
    assert not any(torch.equal(other[key], weight) for key, weight in training.initial.items())


def test_the_images_of_a_batch_do_not_touch_each_other(name, training, users_environment):
    data = datasets.load(configured(name).dataset)
    model, x = training.model.eval(), data.inputs(data.test_images[:3])
    with torch.no_grad():
        torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels, classes", [(1, 10), (3, 7)])
def test_the_shape_of_the_output(name, channels, classes):
    config, side = configured(name), SIDES.get(name, 28)
    with torch.device("meta"):
        model = models.build(config.model, (channels, side, side), classes)
        assert model(torch.empty(2, channels, side, side)).shape == (2, classes)
