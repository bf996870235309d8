"""Loss, counts and baselines of a tagging, against plain loops."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.tasks.tagging.scores import counts_of, usual_tags
from d2lrun.tasks.tagging.sentences import IGNORED
from d2lrun.tasks.tagging.task import Tagging, predicted
from d2lrun.training.scores import scores
from tests.tasks.tagging.test_sentences import fitted, made

LABELS = torch.tensor([[0, 0], [1, 3], [2, 3], [2, 4]])  # of four tags: unknown, and three of two labels each
TASK = Tagging(LABELS)
LENGTHS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def batch(lengths, seed, more=0):
    """Logits [B, T, 4] and tags [B, T] of sentences, with ``more`` padding."""
    generator = torch.Generator().manual_seed(seed)
    rows = [(torch.randn(n, 4, generator=generator), torch.randint(4, (n,), generator=generator)) for n in lengths]
    logits = torch.randn(len(rows), max(lengths) + more, 4, generator=generator)
    tags = torch.full(logits.shape[:2], IGNORED)
    for place, (values, true) in enumerate(rows):
        logits[place, : len(true)], tags[place, : len(true)] = values, true
    return logits, tags, rows


@settings(max_examples=40)
@given(LENGTHS, st.integers(0, 10**6), st.integers(0, 3))
def test_padding_is_in_no_loss_and_no_count(lengths, seed, more):
    logits, tags, rows = batch(lengths, seed, more)
    each = [
        math.log(math.fsum(map(math.exp, values))) - values[true]
        for logits_of, tags_of in rows
        for values, true in zip(logits_of.tolist(), tags_of.tolist())
    ]
    loss = TASK.loss(logits, tags)
    assert loss.item() == pytest.approx(sum(each) / len(each), rel=1e-5, abs=1e-6)
    pairs = [(t, max(range(1, 4), key=row.__getitem__)) for x, y in rows for row, t in zip(x.tolist(), y.tolist())]
    true, guessed, right = Counter(), Counter(), Counter()
    for tag, guess in pairs:
        own, other = LABELS[tag].tolist(), LABELS[guess].tolist()
        true.update(own)
        guessed.update(other)
        right.update(a for a, b in zip(own, other) if a == b)
    total, hits, *counts = TASK.count(logits, tags, loss).tolist()
    assert total == pytest.approx(sum(each), rel=1e-5, abs=1e-5)
    assert hits == sum(tag == guess for tag, guess in pairs)
    assert counts == [each[label] for each in (true, guessed, right) for label in range(5)]
    rough = logits.bfloat16()  # of another precision only the loss is rounded
    assert TASK.count(rough, tags, loss.bfloat16()).tolist()[1:] == TASK.count(rough.float(), tags, loss).tolist()[1:]
    flat = torch.tensor(pairs)
    assert counts_of(flat[:, 0], flat[:, 1], LABELS).flatten().tolist() == counts


def test_the_metrics_are_those_of_the_counts():
    """Label 0: 2 true, 1 predicted, 1 right: F1 2/3. Label 1: 1, 2, 1. Label 2 occurs nowhere."""
    task = Tagging(torch.tensor([[0], [1], [2]]))
    metrics = task.metrics("val", torch.tensor([6.0, 2, 2, 1, 0, 1, 2, 0, 1, 1, 0]), 3)
    assert metrics == {"val_loss": 2.0, "val_accuracy": pytest.approx(2 / 3), "val_macro_f1": pytest.approx(2 / 3)}


def test_precision_recall_and_f1_are_zero_without_a_whole():
    precision, recall, f1 = scores(torch.tensor([[4.0, 0, 2], [2, 0, 0], [1, 0, 0]]))
    assert (precision.tolist(), recall.tolist()) == ([0.5, 0, 0], [0.25, 0, 0])
    assert f1.tolist() == pytest.approx([1 / 3, 0, 0])


def test_an_unknown_tag_is_never_predicted():
    assert predicted(torch.tensor([[9.0, 1, 2], [9, 2, 1]])).tolist() == [2, 1]


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("XYZ")), min_size=1), min_size=1), st.data()
)
def test_the_baseline_is_the_most_frequent_tag_of_each_word(sentences, draw):
    index = draw.draw(st.lists(st.sampled_from(range(len(sentences))), min_size=1, unique=True))
    data = fitted(made(sentences), *index)
    pairs = [pair for place in index for pair in sentences[place]]
    order = data.learned.tagset.tokens  # the most frequent first
    found = [order[tag] for tag in usual_tags(data.train_part(torch.tensor(index))).tolist()]
    times = Counter(word for word, _ in pairs)
    once = [tag for word, tag in pairs if times[word] == 1] or [tag for _, tag in pairs]

    def commonest(tags):
        counts = Counter(tags)
        return max(order, key=lambda tag: (counts[tag], -order.index(tag)))

    for word, tag in zip(data.words[2:], found[2:], strict=True):
        assert tag == commonest([other for each, other in pairs if each == word] or once), word


def test_the_floor_is_the_most_frequent_tag():
    data = fitted(made([[("a", "X"), ("b", "X"), ("c", "Y")]], [[("a", "Y"), ("b", "X"), ("c", "Y"), ("d", "Z")]]))
    train, test = data.train_part(), data.part("test")
    assert Tagging(torch.arange(3)[:, None]).floor(train, test) == 0.25
