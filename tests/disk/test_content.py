from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from d2lrun.disk.content import fingerprint

texts = st.lists(st.text(), max_size=4)


@given(texts, texts)
def test_texts_are_equal_exactly_if_their_fingerprints_are(one, other):
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


@given(arrays.arrays(st.sampled_from([np.uint8, np.int32, np.float64]), arrays.array_shapes(max_dims=3, max_side=4)))
def test_a_tensor_has_the_fingerprint_of_its_array(array):
    assert fingerprint(torch.from_numpy(array.copy())) == fingerprint(array) == fingerprint(np.asfortranarray(array))


@pytest.mark.parametrize(
    "other",
    [np.zeros(4, np.int32), np.zeros((4, 1), np.uint8), np.zeros(5, np.uint8), np.array([0, 0, 0, 1], np.uint8), ""],
    ids=["type", "shape", "length", "value", "text"],
)
def test_every_property_of_an_array_counts(other):
    assert fingerprint(np.zeros(4, np.uint8)) != fingerprint(other)


def test_where_one_part_ends_and_the_next_begins_counts():
    assert fingerprint("ab", "c") != fingerprint("a", "bc") != fingerprint("abc")
