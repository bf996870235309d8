from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.datasets.idx import parse


def pack(shape, values) -> bytearray:
    return bytearray(struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + bytes(values))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.randoms())
def test_every_number_is_at_its_place(shape, random):
    values = [random.randrange(256) for _ in range(int(np.prod(shape)))]
    array = parse(pack(shape, values), len(shape))
    assert array.shape == tuple(shape)
    assert array.dtype == np.uint8
    assert list(array.flat) == values


def test_a_tensor_over_it_shares_the_memory():
    content = pack([3], [1, 2, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns about memory that it must not write to
        torch.from_numpy(parse(content, 1))[1] = 9
    assert content[-3:] == bytes([1, 9, 3])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with nothing, wanted 00000803"),
        (b"<html>", "begins with 3c68746d, wanted 00000803 .IDX, unsigned bytes in 3 dimensions"),
        (pack([3], [1, 2, 3]), "begins with 00000801"),
        (bytes([0, 0, 13, 3]) + bytes(12), "begins with 00000d03"),
        (pack([2, 1, 2], range(4))[:11], "11 bytes, wanted at least a header of 16"),
        (pack([2, 1, 2], range(3)), "19 bytes, but its header says 2 × 1 × 2, which makes 20"),
        (pack([2, 1, 2], range(5)), "21 bytes, but"),
        (pack([2**32 - 1] * 3, b""), "16 bytes, but its header says 4294967295 × "),
    ],
)
def test_faults_are_named(content, fault):
    with pytest.raises(ValueError, match=fault):
        parse(bytearray(content), 3)
