from __future__ import annotations

import numpy as np
import pytest
import torch

from d2lrun.models.rnn import RNNCell, build

BOOK = {"inputs": None, "classes": 28, "layers": 1, "bidirectional": False, "dropout": 0.0}
BOOK |= {"embedding": None, "tied": False}


@pytest.mark.parametrize("impl, hidden, count", [("scratch", 512, 291_356), ("torch", 256, 80_412)])
def test_parameters_are_those_of_the_book(impl, hidden, count):
    model = build(**BOOK, impl=impl, hidden=hidden)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_the_cell_is_the_formula():
    torch.manual_seed(0)
    cell, x, h = RNNCell(3, 4), torch.randn(5, 2, 3), torch.randn(2, 4)
    for parameter in cell.parameters():
        torch.nn.init.normal_(parameter)
    outputs, last = cell(x, h)
    W_xh, W_hh, b_h = (parameter.detach().double().numpy() for parameter in cell.parameters())
    state = h.double().numpy()
    for t in range(5):
        state = np.tanh(x[t].double().numpy() @ W_xh + state @ W_hh + b_h)
        np.testing.assert_allclose(outputs[t].detach(), state, atol=1e-5)
    np.testing.assert_allclose(last.detach(), state, atol=1e-5)
