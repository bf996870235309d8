from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.nin import NiN, NiNBlock


def nin(device="cpu", dropout=0.5, final_relu=True, classes=10):
    torch.manual_seed(0)
    with torch.device(device):
        return NiN(inputs=(1, 224, 224), classes=classes, dropout=dropout, final_relu=final_relu).eval()


def plain(model, x, final_relu):
    pairs = zip(*[iter(model.parameters())] * 2, strict=True)

    def block(x, stride, padding):
        for how in ({"stride": stride, "padding": padding}, {}, {}):
            before = F.conv2d(x, *next(pairs), **how)
            x = F.relu(before)
        return x, before

    x = F.max_pool2d(block(x, 4, 0)[0], 3, 2)
    x = F.max_pool2d(block(x, 1, 2)[0], 3, 2)
    x = F.max_pool2d(block(x, 1, 1)[0], 3, 2)
    return block(x, 1, 1)[0 if final_relu else 1].mean((2, 3))


@torch.no_grad()
def test_the_output_is_that_of_plain_functions():
    x = torch.rand(2, 1, 96, 96, dtype=torch.float64)
    for final_relu in (True, False):
        model = nin(final_relu=final_relu).double()
        torch.testing.assert_close(model(x), plain(model, x, final_relu))


@torch.no_grad()
def test_the_books_logits_are_never_negative():
    x = torch.rand(2, 1, 96, 96)
    assert nin()(x).min() >= 0
    assert nin(final_relu=False)(x).min() < 0


def test_the_stable_variant_has_the_same_parameters():
    states = [nin("meta", final_relu=final_relu).state_dict() for final_relu in (True, False)]
    book, stable = ([(name, weight.shape) for name, weight in state.items()] for state in states)
    assert book == stable


def test_the_shapes_on_the_way_are_those_of_the_book():
    model, x, shapes = nin("meta"), torch.empty(1, 1, 224, 224, device="meta"), []
    for layer in model:
        x = layer(x)
        if isinstance(layer, (NiNBlock, nn.MaxPool2d)):
            shapes.append(tuple(x.shape[1:3]))
    assert shapes == [(96, 54), (96, 26), (256, 26), (256, 12), (384, 12), (384, 5), (10, 5)]


def test_one_layer_drops_units_before_the_last_block():
    layers = list(nin("meta", dropout=0.3))
    (at,) = [at for at, layer in enumerate(layers) if isinstance(layer, nn.Dropout)]
    assert layers[at].p == 0.3
    assert isinstance(layers[at + 1], NiNBlock)


def test_the_last_block_has_a_channel_for_each_class():
    assert nin("meta", classes=7)(torch.empty(2, 1, 96, 96, device="meta")).shape == (2, 7)
