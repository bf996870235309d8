"""Attention against torch's own layers, the book's examples, and each implementation against the other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from d2lrun.models.attention import AdditiveAttention, MultiHeadAttention, PositionalEncoding, causal, inside
from d2lrun.text.vocabulary import PAD


def lengths_mask(*lengths, keys=10):
    return torch.arange(keys).expand(len(lengths), 1, keys) < torch.tensor(lengths).view(-1, 1, 1)


def test_equal_keys_give_the_mean_of_the_values_inside():
    """The example of book 10.3: lengths 2 and 6 of 10 values, for any weights."""
    attention = AdditiveAttention(queries=20, keys=2, hidden=8, dropout=0.0)
    values = torch.arange(40.0).view(1, 10, 4).repeat(2, 1, 1)
    found, weights = attention(torch.randn(2, 1, 20), torch.ones(2, 10, 2), values, lengths_mask(2, 6))
    torch.testing.assert_close(found[:, 0], torch.tensor([[2.0, 3, 4, 5], [10, 11, 12, 13]]))
    assert weights[0, 0].tolist() == pytest.approx([0.5] * 2 + [0.0] * 8)


def test_additive_scores_are_those_of_the_formula():
    attention = AdditiveAttention(queries=3, keys=2, hidden=5, dropout=0.0)
    queries, keys, values = torch.randn(1, 2, 3), torch.randn(1, 4, 2), torch.randn(1, 4, 6)
    for q, row in zip(queries[0], attention(queries, keys, values, None)[0][0], strict=True):
        scores = torch.stack([attention.w_v((attention.W_q(q) + attention.W_k(k)).tanh())[0] for k in keys[0]])
        torch.testing.assert_close(row, scores.softmax(0) @ values[0])


def test_nothing_to_attend_to_gives_equal_weights():
    """As in the book: length 0."""
    _, weights = AdditiveAttention(1, 1, 2, 0.0)(*(torch.randn(1, 3, 1) for _ in range(3)), lengths_mask(0, keys=3))
    assert weights.flatten().tolist() == pytest.approx([1 / 3] * 9)


def multi(impl, width=12, heads=3, dropout=0.0, seed=1):
    torch.manual_seed(seed)
    return MultiHeadAttention(width, heads, dropout, impl)


MASKS = {"none": None, "lengths": lengths_mask(1, 7, keys=7), "causal": causal(7, torch.device("cpu"))}


@pytest.mark.parametrize("mask", MASKS)
def test_both_implementations_give_the_same_numbers(mask):
    x = torch.randn(2, 7, 12, requires_grad=True)
    outputs, gradients = [], []
    for impl in ("scratch", "torch"):
        layer = multi(impl)
        outputs.append(layer(x, x, x, MASKS[mask]))
        gradients.append(torch.autograd.grad(outputs[-1].square().sum(), [x, *layer.parameters()]))
    torch.testing.assert_close(*outputs)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("impl", ["scratch", "torch"])
@pytest.mark.parametrize("mask", MASKS)
def test_it_is_torchs_multihead_attention(impl, mask):
    layer, torchs = multi(impl), nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    torchs.in_proj_weight.data = torch.cat([each.weight for each in (layer.W_q, layer.W_k, layer.W_v)])
    torchs.out_proj.weight.data = layer.W_o.weight
    queries, keys = torch.randn(2, 7, 12), torch.randn(2, 7, 12)
    hidden = None if MASKS[mask] is None else ~MASKS[mask].expand(2, 7, 7).repeat_interleave(3, dim=0)
    wanted, weights = torchs(queries, keys, keys, attn_mask=hidden)
    torch.testing.assert_close(layer(queries, keys, keys, MASKS[mask]), wanted)
    if impl == "scratch":
        torch.testing.assert_close(layer.weights.mean(dim=1), weights)


def test_a_single_query_has_weights_in_both_implementations():
    x = torch.randn(2, 7, 12)
    found = []
    for impl in ("scratch", "torch"):
        layer = multi(impl)
        layer(x[:, :1], x, x, None)
        found.append(layer.weights)
    torch.testing.assert_close(*found)
    torch.testing.assert_close(found[0].sum(dim=3), torch.ones(2, 3, 1))


def test_the_example_of_the_book_has_its_parameters():
    assert sum(each.numel() for each in multi("torch", 100, 5).parameters()) == 40_000


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="heads=5: wanted a divisor of the width 12"):
        multi("torch", heads=5)


@given(st.integers(1, 8).map(lambda half: 2 * half), st.integers(1, 9), st.integers(0, 50))
def test_positions_are_sines_and_cosines(width, steps, start):
    found = PositionalEncoding(width, 0.0)(torch.zeros(1, steps, width), start)[0]
    for row, place in zip(found.tolist(), range(start, start + steps), strict=True):
        angles = [place / 10000 ** (column / width) for column in range(0, width, 2)]
        assert row == pytest.approx([f(angle) for angle in angles for f in (math.sin, math.cos)], abs=1e-4)


def test_positions_are_no_weights():
    encoding = PositionalEncoding(4, 0.0)
    assert encoding.state_dict() == {}
    with pytest.raises(ValueError, match="width=5: wanted an even number"):
        PositionalEncoding(5, 0.0)


def test_masks():
    assert inside(torch.tensor([[5, 0, PAD]])).tolist() == [[[True, True, False]]]
    assert causal(3, torch.device("cpu"))[0].int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
