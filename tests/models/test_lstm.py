from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun.models.lstm import LSTMCell, build

BOOK = {"inputs": None, "classes": 28, "hidden": 256, "layers": 1, "bidirectional": False, "dropout": 0.0}
BOOK |= {"embedding": None, "tied": False}


@pytest.mark.parametrize(
    "impl, layers, bidirectional, count",
    [
        ("scratch", 1, False, 299_036),
        ("torch", 1, False, 300_060),
        ("torch", 2, False, 826_396),
        ("torch", 2, True, 2_177_052),
        # one bias of 256 for each gate where torch has two
        ("scratch", 2, False, 826_396 - 2 * 4 * 256),
        ("scratch", 2, True, 2_177_052 - 4 * 4 * 256),
    ],
)
def test_parameters_are_those_of_the_book(impl, layers, bidirectional, count):
    model = build(**BOOK | {"layers": layers, "bidirectional": bidirectional}, impl=impl)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_cell_is_the_formula():
    torch.manual_seed(0)
    cell, x, h, c = LSTMCell(3, 4), torch.randn(5, 2, 3), torch.randn(2, 4), torch.randn(2, 4)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    outputs, *last = cell(x, h, c)
    w = {name: parameter.detach().double().numpy() for name, parameter in cell.named_parameters()}
    state, memory = h.double().numpy(), c.double().numpy()
    for t in range(5):
        now = x[t].double().numpy()
        forward = {gate: now @ w[f"W_x{gate}"] + state @ w[f"W_h{gate}"] + w[f"b_{gate}"] for gate in "ifoc"}
        memory = sigmoid(forward["f"]) * memory + sigmoid(forward["i"]) * np.tanh(forward["c"])
        state = sigmoid(forward["o"]) * np.tanh(memory)
        np.testing.assert_allclose(outputs[t].detach(), state, atol=1e-5)
    for ours, theirs in zip(last, (state, memory), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, atol=1e-5)
