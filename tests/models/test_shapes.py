from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from d2lrun.models.shapes import LARGEST, flattened, output_side, smallest_side, window

SIDES = st.integers(1, 60)
KERNELS = st.integers(1, 7)
STRIDES = st.integers(1, 5)


def torchs(layer, height, width):
    """The size of what comes out of a layer by torch itself; None where it refuses."""
    with torch.device("meta"):
        try:
            return tuple(layer(torch.empty(1, 1, height, width)).shape[2:])
        except RuntimeError:
            return None


def ours(layer, height, width):
    """The same by the book's formula; None where nothing is left."""
    sides = tuple(output_side(side, *window(layer, axis)) for axis, side in enumerate((height, width)))
    return sides if min(sides) > 0 else None


@settings(deadline=None)
@given(SIDES, SIDES, KERNELS, KERNELS, STRIDES, STRIDES, st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_a_convolution(height, width, k1, k2, s1, s2, p1, p2, dilation):
    layer = nn.Conv2d(1, 1, (k1, k2), (s1, s2), (p1, p2), dilation, device="meta")
    assert ours(layer, height, width) == torchs(layer, height, width)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(deadline=None)
@given(SIDES, SIDES, KERNELS, st.integers(1, 3), st.sampled_from(["same", "valid"]))
def test_padding_in_words(height, width, kernel, dilation, padding):
    layer = nn.Conv2d(1, 1, kernel, padding=padding, dilation=dilation, device="meta")
    assert ours(layer, height, width) == torchs(layer, height, width)


@settings(deadline=None)
@given(SIDES, SIDES, KERNELS, st.none() | STRIDES, st.integers(0, 3), st.integers(1, 3))
def test_a_pooling(height, width, kernel, stride, padding, dilation):
    padding = min(padding, kernel // 2)  # torch takes no more
    for layer in (
        nn.MaxPool2d(kernel, stride, padding, dilation),
        nn.MaxPool2d((kernel, kernel), stride, (padding, padding)),
        nn.AvgPool2d(kernel, stride, padding),
    ):
        assert ours(layer, height, width) == torchs(layer, height, width)


@pytest.mark.parametrize("side, arguments, wanted", [(224, (11, 4, 1), 54), (54, (3, 2), 26), (28, (5,), 24)])
def test_the_formula_by_hand(side, arguments, wanted):
    assert output_side(side, *arguments) == wanted


def test_padding_brings_nothing_back():
    with pytest.raises(ValueError, match="nothing is left"):
        flattened(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 1, 1, padding=1)), (1, 1, 9))


@settings(deadline=None)
@given(st.integers(1, 3), st.integers(6, 40), st.integers(6, 40), st.data())
def test_flattened_is_what_comes_out(channels, height, width, data):
    layers, given = [], channels
    for _ in range(data.draw(st.integers(0, 3))):
        out = data.draw(st.integers(1, 4))
        layers += [nn.Conv2d(given, out, data.draw(KERNELS), padding=data.draw(st.integers(0, 3))), nn.ReLU()]
        layers += [data.draw(st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(2), nn.BatchNorm2d(out)]))]
        given = out
    features = nn.Sequential(nn.Sequential(*layers)).to("meta").eval()
    try:
        wanted = features(torch.empty(1, channels, height, width, device="meta")).numel()
    except RuntimeError:
        wanted = None
    try:
        found = flattened(features, (channels, height, width))
    except ValueError:
        found = None
    assert found == wanted


def halving(times, linear=False):
    def build(inputs):
        layers = [nn.MaxPool2d(2) for _ in range(times)]
        return nn.Sequential(*layers, *([nn.Flatten(), nn.Linear(4, 10)] if linear else []))

    return build


@pytest.mark.parametrize("times", range(10))
def test_the_smallest_side_is_the_first_that_works(times):
    assert smallest_side(halving(times), 1) == 2**times


def test_none_is_large_enough():
    assert smallest_side(halving(10), 1) is None


def test_a_network_that_takes_one_size_only():
    assert smallest_side(halving(3, linear=True), channels=1) == 16  # 2 × 2 pixels are left, up to a side of 23
    assert LARGEST > 23


def test_the_smallest_side_costs_no_memory():
    terabytes = smallest_side(lambda inputs: nn.Sequential(nn.Flatten(), nn.Linear(inputs[1] ** 2, 10**9)), 1)
    assert terabytes == 1
