from __future__ import annotations

import torch
from torch.nn import functional as F

from d2lrun.models.softmax import Softmax


def test_parameters_are_those_of_the_book():
    model = Softmax(inputs=(1, 28, 28), classes=10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 7_850


def test_the_output_is_one_affine_map():
    torch.manual_seed(0)
    model, images = Softmax(inputs=(3, 4, 5), classes=7), torch.rand(6, 3, 4, 5)
    weight, bias = model.parameters()
    expected = F.linear(images.reshape(6, 60), weight, bias)
    assert expected.shape == (6, 7)
    assert torch.equal(model(images), expected)
