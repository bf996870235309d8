from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun.models.gru import GRUCell, build

BOOK = {"inputs": None, "classes": 28, "hidden": 256, "layers": 1, "bidirectional": False, "dropout": 0.0}
BOOK |= {"embedding": None, "tied": False}


@pytest.mark.parametrize("impl, count", [("scratch", 226_076), ("torch", 226_844)])
@pytest.mark.parametrize("reset_after", [False, True])
def test_parameters_are_those_of_the_book(impl, count, reset_after):
    model = build(**BOOK, impl=impl, reset_after=reset_after)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def cell(reset_after):
    torch.manual_seed(0)
    made = GRUCell(3, 4, reset_after=reset_after)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("reset_after", [False, True])
def test_the_cell_is_the_formula(reset_after):
    made, x, h = cell(reset_after), torch.randn(5, 2, 3), torch.randn(2, 4)
    outputs, last = made(x, h)
    w = {name: parameter.detach().double().numpy() for name, parameter in made.named_parameters()}
    state = h.double().numpy()
    for t in range(5):
        now = x[t].double().numpy()
        update = sigmoid(now @ w["W_xz"] + state @ w["W_hz"] + w["b_z"])
        reset = sigmoid(now @ w["W_xr"] + state @ w["W_hr"] + w["b_r"])
        past = reset * (state @ w["W_hh"]) if reset_after else (reset * state) @ w["W_hh"]
        state = update * state + (1 - update) * np.tanh(now @ w["W_xh"] + past + w["b_h"])
        np.testing.assert_allclose(outputs[t].detach(), state, atol=1e-5)
    np.testing.assert_allclose(last.detach(), state, atol=1e-5)


def test_where_the_reset_gate_stands_matters():
    x, h = torch.randn(5, 2, 3), torch.randn(2, 4)
    assert not torch.allclose(cell(False)(x, h)[0], cell(True)(x, h)[0], atol=1e-2)


def test_reset_after_reaches_the_cells():
    model = build(**BOOK | {"layers": 2, "bidirectional": True}, impl="scratch", reset_after=True)
    assert [made.reset_after for made in model.layer.cells] == [True] * 4
