from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, KFold, NoValidation, Once
from d2lrun.errors import Refused
from d2lrun.tasks.classification.images import ImageDataset
from d2lrun.tasks.language_model.stream import TextDataset
from d2lrun.tasks.tabular.table import TableDataset
from d2lrun.text.vocabulary import Vocabulary


def split(config, data, seed):
    """The split of any dataset."""
    return data.split(config, seed)


labels = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(torch.tensor)
fractions = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**32 - 1)


def holdout(fraction=0.1, stratify=True):
    return Holdout("holdout", fraction, stratify)


def kfold(k, fold=0, shuffle=True, stratify=True):
    return KFold("kfold", k, fold, shuffle, stratify, repeats=1, refit=False)


def images(labels):
    """Black images with these labels train; two others test."""
    black = torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8)
    return ImageDataset("black", tuple("abcde"), black, labels, black[:2], labels[:2], "made")


def in_order(part, size):
    """The batches of an evaluation."""
    return [batch for chain in part.ordered(size) for batch in chain]


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


@given(labels, fractions, seeds)
def test_without_stratify_the_labels_do_not_matter(labels, fraction, seed):
    config = holdout(fraction, stratify=False)
    some, alike = (split(config, images(each), seed) for each in (labels, torch.zeros_like(labels)))
    assert some.val.index.tolist() == alike.val.index.tolist()
    assert some.train.index.tolist() == alike.train.index.tolist()


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
        for part, batches in (
            (parts.train, parts.train.shuffled(size, seed, 3)),
            (parts.val, in_order(parts.val, size)),
        )
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


def rows(count, prepare=None, values=None):
    """Features and targets that are ``values`` [N], or else the number of the row; no test row has a target."""
    numbers = (torch.arange(count, dtype=torch.float32) if values is None else values)[:, None]
    return TableDataset("rows", numbers, numbers, numbers[:2], None, "made", (), prepare=prepare)


@given(st.integers(2, 60), fractions, st.booleans(), seeds)
def test_a_table_is_held_out_by_the_seed_alone(count, fraction, stratify, seed):
    """Whatever is in its rows: they are those that come first in the seed's order."""
    order = np.random.default_rng(seed).permutation(count).tolist()
    size = round(count * fraction)
    for data in (rows(count), rows(count, values=torch.randn(count))):
        parts = split(holdout(fraction, stratify), data, seed)
        assert parts.val.index.tolist() == sorted(order[:size])
        assert parts.train.index.tolist() == sorted(order[size:])
        assert parts.test is None


def test_a_table_is_prepared_by_the_rows_that_train_alone():
    asked = []

    def prepare(index):
        asked.append(index.tolist())
        return torch.full((50, 1), 7.0), torch.full((2, 1), 8.0)

    data = rows(50, prepare).fit(
        SimpleNamespace(validation=holdout(0.3), seed=1, train=SimpleNamespace(class_weights="none"))
    )
    parts = split(holdout(0.3), data, seed=1)
    assert asked == [parts.train.index.tolist()]
    assert parts.val.load(parts.val.index)[0].unique().tolist() == [7.0]
    assert parts.train.data.test_features.unique().tolist() == [8.0]


def test_without_validation_all_rows_train_as_they_are():
    parts = split(NoValidation("none"), rows(50), seed=1)
    assert (len(parts.train.index), parts.val, parts.test) == (50, None, None)


def test_once_trains_on_everything_and_keeps_the_test_set_for_the_end():
    parts = split(Once("once"), images(torch.zeros(7, dtype=torch.int64)), seed=0)
    assert parts.train.index.tolist() == list(range(7))
    assert parts.monitored is None
    assert parts.final_test is parts.test
    assert parts.test.index.tolist() == [0, 1]


def test_what_is_watched_never_chooses_by_the_test_set_unasked():
    data = images(torch.arange(20) % 5)
    book, held, fold = (split(config, data, seed=0) for config in (NoValidation("none"), holdout(), kfold(4)))
    assert (book.monitored[0], book.final_test) == ("test", None)
    assert (held.monitored[0], held.final_test) == ("val", held.test)
    assert (fold.monitored[0], fold.final_test, fold.test) == ("val", None, None)


# --- K folds ------------------------------------------------------------------------------------------------------


def vals(k, data, seed=0, **options):
    """What validates in each of the K folds; what trains must be all the rest."""
    found = []
    for fold in range(k):
        parts = split(kfold(k, fold, **options), data, seed)
        found.append(parts.val.index.tolist())
        assert sorted(parts.train.index.tolist() + found[-1]) == list(range(len(data.train_labels)))
    return found


@given(labels, st.integers(2, 7), st.booleans(), st.booleans(), seeds)
def test_every_example_validates_in_one_fold_and_trains_in_the_others(labels, k, shuffle, stratify, seed):
    assume(k <= len(labels))
    found = vals(k, images(labels), seed, shuffle=shuffle, stratify=stratify)
    assert sorted(index for fold in found for index in fold) == list(range(len(labels)))
    assert max(map(len, found)) - min(map(len, found)) <= 1


@given(labels, st.integers(2, 7), seeds)
def test_every_fold_has_its_share_of_each_class(labels, k, seed):
    assume(k <= len(labels))
    shares = [Counter(labels[fold].tolist()) for fold in vals(k, images(labels), seed)]
    for label in labels.unique().tolist():
        counts = [share[label] for share in shares]
        assert max(counts) - min(counts) <= 1


@given(labels, st.integers(2, 7), seeds)
def test_without_stratify_the_labels_do_not_matter_to_folds(labels, k, seed):
    assume(k <= len(labels))
    assert vals(k, images(labels), seed, stratify=False) == vals(
        k, images(torch.zeros_like(labels)), seed, stratify=False
    )


@pytest.mark.parametrize("stratify", [True, False])
def test_folds_depend_on_the_seed_only(stratify):
    data = images(torch.arange(500) % 10)
    torch.manual_seed(1)
    one = vals(3, data, seed=3, stratify=stratify)
    torch.manual_seed(2)
    assert vals(3, data, seed=3, stratify=stratify) == one
    other = vals(3, data, seed=4, stratify=stratify)
    assert all(mine != theirs for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("stratify", [True, False])
def test_shuffled_folds_are_drawn_from_everywhere(stratify):
    for fold in vals(5, images(torch.arange(1000) // 200), stratify=stratify):
        assert 400 < sum(fold) / len(fold) < 600
        assert len({index % 5 for index in fold}) == 5


@given(st.integers(2, 9), st.integers(1, 30), seeds)
def test_unshuffled_folds_are_the_slices_of_the_book(k, size, seed):
    """Book 4.10: fold i is the slice from i · (n // k) on, of n // k examples."""
    n = k * size
    found = vals(k, images(torch.arange(n) % 5), seed, shuffle=False)
    assert found == [list(range(i * (n // k), (i + 1) * (n // k))) for i in range(k)]


def test_unshuffled_folds_are_contiguous_and_drop_nothing():
    assert vals(3, images(torch.zeros(8, dtype=torch.int64)), shuffle=False) == [[0, 1], [2, 3, 4], [5, 6, 7]]


@pytest.mark.parametrize("shuffle", [True, False])
def test_more_folds_than_examples_are_refused_and_as_many_are_not(shuffle):
    data = images(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(Refused, match=r"validation\.k=4: more folds than examples to train with \(3\)"):
        split(kfold(4, shuffle=shuffle), data, seed=0)
    assert sorted(map(len, vals(3, data, shuffle=shuffle))) == [1, 1, 1]


def text(count, steps, sampling="random"):
    """The tokens are their own places in the stream."""
    vocabulary = Vocabulary(["<unk>", *map(str, range(1, count))])
    tokens = torch.arange(count, dtype=torch.int32)
    return TextDataset("t", vocabulary, tokens, "here", "word", "none", steps=steps, sampling=sampling)


@given(st.integers(2, 5), st.integers(100, 300), st.integers(1, 6), st.sampled_from(["random", "sequential"]), seeds)
def test_the_folds_of_a_text_are_pieces_of_which_no_token_is_read_or_predicted_in_training(
    k, count, steps, sampling, seed
):
    data, validated = text(count, steps, sampling), []
    for fold in range(k):
        parts = split(kfold(k, fold), data, seed)
        train, val = parts.train.tokens, parts.val.tokens
        assert (val.diff() == 1).all() and (train.diff() > 0).all() and parts.test is None
        assert torch.equal(torch.cat((train, val)).sort().values, data.tokens)
        seen = {
            place
            for b in parts.train.shuffled(2, seed, 1)
            for t in parts.train.load(b)
            for place in set(t.flatten().tolist())
        }
        measured = {
            place for b in in_order(parts.val, 2) for t in parts.val.load(b) for place in set(t.flatten().tolist())
        }
        assert seen and measured and not seen & measured
        validated.append(len(val))
    assert sum(validated) == count
    assert max(validated) - min(validated) <= 1


def test_a_fold_of_a_text_that_is_too_short_is_refused_with_what_is_needed():
    with pytest.raises(Refused, match=r"10 tokens .* too few for a window of 20"):
        split(kfold(10), text(100, steps=20), seed=0)
