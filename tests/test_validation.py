from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from d2lrun.config import Holdout, NoValidation
from d2lrun.datasets.corpus import Vocabulary
from d2lrun.datasets.images import ImageDataset
from d2lrun.datasets.stream import TextDataset
from d2lrun.datasets.table import TableDataset
from d2lrun.validation import split

labels = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(torch.tensor)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


def holdout(fraction=0.1, stratify=True):
    return Holdout("holdout", fraction, stratify)


def images(labels):
    """Black images with these labels train; two others test."""
    black = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return ImageDataset("black", tuple("abcde"), black, labels, black[:2], labels[:2], "made")


def test_without_validation_everything_trains():
    parts = split(NoValidation("none"), images(torch.zeros(7, dtype=torch.int64)), seed=0)
    assert parts.train.index.tolist() == list(range(7))
    assert parts.val is None
    assert parts.test.index.tolist() == [0, 1]


@given(labels, fractions, st.booleans(), seeds)
def test_the_parts_are_disjoint_and_complete(labels, fraction, stratify, seed):
    parts = split(holdout(fraction, stratify), images(labels), seed)
    assert sorted(parts.train.index.tolist() + parts.val.index.tolist()) == list(range(len(labels)))


@given(labels, fractions, seeds)
def test_the_fraction_is_kept(labels, fraction, seed):
    parts = split(holdout(fraction, stratify=False), images(labels), seed)
    assert abs(len(parts.val.index) - fraction * len(labels)) <= 0.5


@given(labels, fractions, seeds)
def test_every_class_keeps_its_share(labels, fraction, seed):
    parts = split(holdout(fraction), images(labels), seed)
    held = Counter(labels[parts.val.index].tolist())
    for label, count in Counter(labels.tolist()).items():
        assert abs(held[label] - fraction * count) <= 0.5


@pytest.mark.parametrize("stratify", [True, False])
def test_it_depends_on_the_seed_only(stratify):
    data = images(torch.arange(500) % 10)
    torch.manual_seed(1)
    one = split(holdout(stratify=stratify), data, seed=3)
    torch.manual_seed(2)
    same, other = (split(holdout(stratify=stratify), data, seed=seed) for seed in (3, 4))
    assert torch.equal(one.val.index, same.val.index) and torch.equal(one.train.index, same.train.index)
    assert not torch.equal(one.val.index, other.val.index)


def test_the_examples_are_drawn_from_everywhere():
    val = split(holdout(0.5, stratify=False), images(torch.zeros(1000, dtype=torch.int64)), seed=0).val.index
    assert 400 < val.double().mean().item() < 600
    assert (val.diff() > 1).any()


@pytest.mark.parametrize("config", [NoValidation("none"), holdout(stratify=False)], ids=["none", "holdout"])
def test_a_split_lies_where_the_data_lies(config):
    data = images(torch.arange(40) % 5)
    moved = replace(data, train_images=data.train_images.to("meta"), test_images=data.test_images.to("meta"))
    parts = split(config, moved, seed=0)
    assert {part.images.device.type for part in (parts.train, parts.val, parts.test) if part} == {"meta"}
    assert all(part.index.device == part.labels.device for part in (parts.train, parts.val, parts.test) if part)


@given(
    *(st.integers(60, 300), st.floats(0.2, 0.8), st.integers(1, 3), st.integers(1, 6)),
    *(st.sampled_from(["random", "sequential"]), seeds),
)
def test_a_text_is_cut_before_windows_so_that_no_token_is_read_or_predicted_in_both_parts(
    count, fraction, size, steps, sampling, seed
):
    """The tokens are their own places in the stream, so a place in both would be seen."""
    vocabulary = Vocabulary(["<unk>", *map(str, range(1, count))])
    stream = torch.arange(count, dtype=torch.int32)
    data = TextDataset("t", vocabulary, stream, "here", "word", "none", steps=steps, sampling=sampling)
    assume(min(fraction, 1 - fraction) * count > (size + 1) * steps + 2)
    parts = split(holdout(fraction), data, seed)
    read = [
        {place for batch in batches for tokens in part.load(batch) for place in tokens.flatten().tolist()}
        for part, batches in ((parts.train, parts.train.shuffled(size, seed, 3)), (parts.val, parts.val.ordered(size)))
    ]
    assert min(map(len, read)) > 0 and not read[0] & read[1]
    assert max(read[0]) < min(read[1])
    assert parts.test is None
    assert torch.equal(torch.cat((parts.train.tokens, parts.val.tokens)), stream)
    assert abs(len(parts.val.tokens) - fraction * count) <= 0.5


def test_without_validation_all_of_a_text_trains():
    data = TextDataset("t", Vocabulary(["<unk>"]), torch.zeros(50, dtype=torch.int32), "here", "char", "none")
    parts = split(NoValidation("none"), data, seed=0)
    assert (len(parts.train.tokens), parts.val, parts.test) == (50, None, None)


def rows(count, prepare=None):
    """Features that are the number of the row; no test row has a target."""
    numbers = torch.arange(count, dtype=torch.float32)[:, None]
    return TableDataset("rows", numbers, numbers, numbers[:2], None, "made", (), prepare=prepare)


@given(st.integers(2, 60), fractions, st.booleans(), seeds)
def test_a_table_is_held_out_by_the_seed_alone(count, fraction, stratify, seed):
    parts = split(holdout(fraction, stratify), rows(count), seed)
    assert sorted(parts.train.index.tolist() + parts.val.index.tolist()) == list(range(count))
    assert abs(len(parts.val.index) - fraction * count) <= 0.5
    assert parts.test is None


def test_a_table_is_prepared_by_the_rows_that_train_alone():
    asked = []

    def prepare(index):
        asked.append(index.tolist())
        return torch.full((50, 1), 7.0), torch.full((2, 1), 8.0)

    parts = split(holdout(0.3), rows(50, prepare), seed=1)
    assert asked == [parts.train.index.tolist()]
    assert parts.val.load(parts.val.index)[0].unique().tolist() == [7.0]
    assert parts.train.data.test_features.unique().tolist() == [8.0]


def test_without_validation_all_rows_train_as_they_are():
    parts = split(NoValidation("none"), rows(50), seed=1)
    assert (len(parts.train.index), parts.val, parts.test) == (50, None, None)
