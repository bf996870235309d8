"""Every network of the table: built from its config, it can be trained."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from d2lrun import models
from d2lrun.compose import compose
from d2lrun.config import MODELS
from d2lrun.datasets.images import scale

COUNTS = {"softmax": 7_850, "mlp": 203_530, "lenet": 61_706}  # BOOK.md


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def build(name, seed=0):
    torch.manual_seed(seed)
    return models.build(compose([f"model={name}"]).model, (1, 28, 28), 10)


def losses(model, stripes, steps=3):
    """Full-batch descent; a small rate suits every network, since its direction is downhill."""
    x, labels = scale(stripes.train_images[:128]), stripes.train_labels[:128]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        loss = F.cross_entropy(model(x), labels)
        yield loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_every_network_is_seen():
    assert set(MODELS) == set(COUNTS)


def test_parameters_are_those_of_the_book(name):
    assert sum(parameter.numel() for parameter in build(name).parameters()) == COUNTS[name]


def test_the_loss_falls_with_every_step(name, stripes):
    first, second, third = losses(build(name), stripes)
    assert first > second > third


def test_every_parameter_gets_a_gradient(name, stripes):
    model = build(name)
    list(losses(model, stripes, steps=1))
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_same_seed_gives_the_same_bits(name):
    one, same, other = (build(name, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not any(torch.equal(one[key], other[key]) for key in one)


def test_the_images_of_a_batch_do_not_touch_each_other(name, stripes):
    model, x = build(name).eval(), scale(stripes.test_images[:4])
    torch.testing.assert_close(model(x)[2:3], model(x[2:3]), rtol=1e-5, atol=1e-6)
