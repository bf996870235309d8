"""Sequences of different lengths, and their batches."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import PAD
from d2lrun.training.bylength import ByLength, by_length, in_stored_order

SEQUENCES = st.lists(st.lists(st.integers(2, 30), max_size=9), min_size=1, max_size=12)


@given(SEQUENCES, st.data())
def test_a_batch_holds_each_sequence_and_then_padding(sequences, data):
    index = torch.tensor(data.draw(st.lists(st.integers(0, len(sequences) - 1), min_size=1)))
    padded = Ragged.of(sequences).padded(index)
    width = max(len(sequences[place]) for place in index)
    assert padded.tolist() == [sequences[place] + [PAD] * (width - len(sequences[place])) for place in index.tolist()]


@given(SEQUENCES, st.integers(1, 12))
def test_a_fixed_number_of_steps_cuts_and_pads(sequences, steps):
    padded = Ragged.of(sequences).padded(torch.arange(len(sequences)), steps)
    assert padded.tolist() == [(sequence + [PAD] * steps)[:steps] for sequence in sequences]


@given(SEQUENCES)
def test_a_sequence_is_read_back(sequences):
    ragged = Ragged.of(sequences)
    assert [ragged[place] for place in range(len(ragged))] == sequences


@dataclass(frozen=True, eq=False)
class Part(ByLength):
    """The subset that all tests below use: examples 3, 4, …, n + 2 of a pool."""

    index: Tensor
    lengths: Tensor
    grouped: bool = True
    least: int = 1

    def load(self, batch):
        return self.lengths[batch], batch


def part(lengths, grouped=True, least=1):
    index = torch.arange(3, 3 + len(lengths))
    return Part(index, torch.tensor([0, 0, 0, *lengths]), grouped, least)


LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=400)


@given(LENGTHS, st.integers(1, 9), st.integers(0, 9), st.integers(0, 3), st.booleans())
def test_an_epoch_has_each_sequence_once(lengths, size, seed, epoch, grouped):
    subset = part(lengths, grouped)
    found = subset.shuffled(size, seed, epoch)
    assert sorted(torch.cat(found).tolist()) == subset.index.tolist()
    assert sorted(map(len, found))[1:] == [size] * (len(found) - 1)
    assert all(map(torch.equal, found, subset.shuffled(size, seed, epoch)))


@given(LENGTHS, st.integers(1, 9))
def test_an_evaluation_has_each_sequence_once(lengths, size):
    subset = part(lengths)
    batches = [batch for (batch,) in subset.ordered(size)]
    assert sorted(torch.cat(batches).tolist()) == subset.index.tolist()
    rows = in_stored_order((10 * batch for batch in batches), batches)
    assert rows.tolist() == (10 * subset.index).tolist()


def test_batches_of_similar_lengths_have_little_padding():
    lengths = torch.randint(1, 200, (3000,), generator=torch.Generator().manual_seed(1)).tolist()

    def padded(grouped):
        subset = part(lengths, grouped)
        batches = subset.shuffled(10, seed=1, epoch=0)
        return sum(len(batch) * int(subset.lengths[batch].max()) for batch in batches) / sum(lengths)

    assert padded(True) < 1.05 < 1.7 < padded(False)


def test_epochs_and_seeds_differ():
    subset = part(range(1, 200))
    first, *others = (subset.shuffled(10, *given) for given in ((1, 0), (1, 1), (2, 0)))
    assert all(torch.cat(first).tolist() != torch.cat(other).tolist() for other in others)
    lengths = [int(subset.lengths[batch[0]]) for batch in first]
    assert lengths != sorted(lengths)  # an epoch does not begin with the shortest


@pytest.mark.parametrize("grouped", [True, False])
def test_a_last_batch_that_is_too_small_joins_another(grouped):
    assert min(map(len, part(range(1, 12), grouped, least=2).shuffled(5, 1, 0))) == 5


def test_equal_lengths_keep_their_order():
    assert by_length(torch.tensor([4, 2, 0, 3, 1]), torch.tensor([7, 5, 7, 5, 7])).tolist() == [3, 1, 4, 2, 0]
