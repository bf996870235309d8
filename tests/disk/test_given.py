"""Values in memory as arrays: what holds the same numbers is the same array."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from d2lrun.disk.given import array
from d2lrun.errors import Refused

NUMBERS = arrays.arrays(np.float32, arrays.array_shapes(min_dims=2, max_dims=3), elements=st.integers(-99, 99))


@given(NUMBERS)
def test_every_holder_of_the_same_numbers_is_the_same_array(wanted):
    read_only = wanted.copy()
    read_only.setflags(write=False)
    tensor = torch.tensor(wanted, requires_grad=True)
    holders = [wanted, read_only, wanted[::-1].copy()[::-1], np.asfortranarray(wanted), wanted.astype(">f4")]
    holders += [wanted.tolist(), [*wanted], tensor, [*tensor], tensor.bfloat16(), tensor.to_sparse()]
    holders += [np.ma.masked_array(wanted, False)]
    for holder in holders:
        found = array(holder, "data", "numbers")
        assert np.array_equal(found, wanted)
        assert torch.equal(torch.from_numpy(found).float(), tensor)  # which takes no such array as it is


def test_a_masked_value_is_missing():
    assert array(np.ma.masked_equal([1, 2, 3], 2), "data", "numbers").tolist() == [1, None, 3]


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise KeyError("no such row")


@pytest.mark.parametrize("values", [[[1.0], [2.0, 3.0]], torch.empty(3, device="meta"), Broken()])
def test_what_is_no_array_is_refused(values):
    with pytest.raises(Refused, match="data: no array: ") as refusal:
        array(values, "data", "numbers")
    assert refusal.value.hint == "give numbers"
