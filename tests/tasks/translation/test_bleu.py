"""BLEU against the book's examples, and against sacrebleu itself."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.translation.bleu import book_bleu, corpus_bleu, grams

TARGET = "ABCDEF"
sentences = st.lists(st.sampled_from("abc"), max_size=8)


def test_the_precisions_are_those_of_the_book():
    found = [(grams("ABBCD", n) & grams(TARGET, n)).total() / grams("ABBCD", n).total() for n in (1, 2, 3, 4)]
    assert found == [4 / 5, 3 / 4, 1 / 3, 0]


@pytest.mark.parametrize(
    "output, target, wanted",
    [
        ("AB", TARGET, 0.135),
        (["il", "est", "bon", "."], ["il", "est", "calme", "."], 0.658),
        (TARGET, TARGET, 1.0),
        ("", TARGET, 0.0),
        ("A", "A", 0.0),  # too short for a pair; the book's code divides by zero
    ],
)
def test_the_score_is_that_of_the_book(output, target, wanted):
    assert book_bleu(output, target) == pytest.approx(wanted, abs=5e-4)


@given(sentences, sentences)
def test_a_score_is_at_most_one_and_one_only_for_the_same_pairs(output, target):
    score = book_bleu(output, target)
    assert 0 <= score <= 1
    if score == 1:
        assert sorted(pairwise(output)) == sorted(pairwise(output)) and len(output) >= len(target)
    if len(output) > 1:
        assert book_bleu(output, output) == 1


def test_a_corpus_is_scored_by_sacrebleu_over_the_given_tokens():
    """A reference that a sentence lacks is none, and "n't" stays one token."""
    sacrebleu = pytest.importorskip("sacrebleu")
    outputs = [["it", "is", "n't", "a", "cat", "."], ["go", "now", "!"]]
    references = [[["it", "is", "n't", "a", "dog", "."], ["this", "is", "no", "cat", "."]], [["go", "on", "!"]]]
    streams = [["it is n't a dog .", "go on !"], ["this is no cat .", None]]
    wanted = sacrebleu.corpus_bleu(["it is n't a cat .", "go now !"], streams, tokenize="none", force=True).score
    assert corpus_bleu(outputs, references) == pytest.approx(wanted)
    assert corpus_bleu([row[0] for row in references], references) == pytest.approx(100)
