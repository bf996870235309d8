"""The random numbers of an example."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.training.chance import uniform

MASK = (1 << 64) - 1


def plain(index, seed, epoch, column):
    """SplitMix64 in Python's whole numbers."""
    start = int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0])
    step = 0x9E3779B97F4A7C15
    x = (index * (step * 1009) + column * step + start) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    x ^= x >> 31
    return (x >> 40) / (1 << 24)


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=5), st.integers(0, 2**32 - 1), st.integers(0, 1000))
def test_it_is_splitmix64_of_the_counter(index, seed, epoch):
    found = uniform(torch.tensor(index), seed, epoch, [0, 7, 2])
    assert found.tolist() == [[plain(each, seed, epoch, column) for each in index] for column in (0, 7, 2)]


def test_the_numbers_of_an_example_depend_on_no_other():
    whole = uniform(torch.arange(100), 1, 2, range(4))
    assert torch.equal(uniform(torch.tensor([70, 3]), 1, 2, range(4)), whole[:, [70, 3]])


def test_the_numbers_are_uniform_and_independent():
    x = uniform(torch.arange(20_000), 1, 0, range(8)).double().T
    counts = torch.histc(x, bins=16, min=0, max=1)
    assert ((counts - 10_000).square() / 10_000).sum() < 40  # chi² with 15 degrees: 40 in 1 of 2,000
    together = torch.cat((x[:-1], x[1:]), dim=1).T  # of an example and of the next one
    assert (torch.corrcoef(together) - torch.eye(16)).abs().max() < 0.04
    assert x.min() >= 0 and x.max() < 1


def test_seeds_and_epochs_differ():
    found = [uniform(torch.arange(50), *given, [0]) for given in ((1, 0), (1, 1), (2, 0))]
    assert not any(torch.equal(found[0], other) for other in found[1:])
