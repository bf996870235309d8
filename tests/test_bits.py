from __future__ import annotations

import pytest
import torch

from tests.bits import is_same, same_bits

ONES = torch.ones(2, 2)


@pytest.mark.parametrize(
    "other",
    [ONES.double(), ONES.bool(), ONES.flatten(), torch.ones(2, 1), torch.tensor([[1.0, 1.0], [1.0, 2.0]])],
    ids=["wider", "another type", "another shape", "broadcast", "another value"],
)
def test_what_differs_in_type_shape_or_value_is_not_the_same(other):
    assert not is_same(ONES, other) and not same_bits({"a": ONES}, {"a": other})


def test_the_same_bits_are_the_same_in_any_layout():
    values = torch.tensor([[0.0, torch.nan], [1.0, torch.inf]])
    assert is_same(values, values.t().contiguous().t())
    assert is_same(torch.tensor(3), torch.tensor(3)) and is_same(torch.zeros(0), torch.zeros(0))
    assert not is_same(torch.tensor(0.0), torch.tensor(-0.0))


def test_other_names_are_an_error():
    with pytest.raises(AssertionError):
        same_bits({"a": ONES}, {"b": ONES})
