"""Sentences, tokens and vocabularies of one side of the pairs."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.tasks.translation.language import Language
from d2lrun.tasks.translation.sentences import clean, tokens_of
from d2lrun.text.vocabulary import EOS, RESERVED

texts = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "<pad>", "<eos>"]), max_size=5).map(" ".join), min_size=1, max_size=6
)


@pytest.mark.parametrize(
    "text, rule, wanted",
    [
        ("Go.", "book", "go ."),
        ("Va\u202f!", "book", "va !"),
        ("Oh!? 1,5", "book", "oh ! ? 1 ,5"),
        (".a .", "book", ".a ."),
        ("  Ça \t va\xa0 ", "lower", "ça va"),
        ("  Ça  va", "none", "Ça va"),
    ],
)
def test_a_sentence_is_cleaned_by_its_rule(text, rule, wanted):
    assert clean(text, rule) == wanted


def test_words_stand_between_single_spaces_as_in_the_book():
    assert tokens_of("a  b", "word") == ["a", "", "b"]
    assert tokens_of("", "word") == [] and tokens_of("ab c", "char") == ["a", "b", " ", "c"]


@given(texts, texts, st.data())
def test_a_vocabulary_is_that_of_the_chosen_training_sentences_alone(train, test, data):
    index = sorted(data.draw(st.sets(st.integers(0, len(train) - 1), min_size=1)))
    both = Language.of("word", {"test": test, "train": train}).learned(torch.tensor(index), 2, None)
    alone = Language.of("word", {"train": [train[place] for place in index]})
    assert both.vocabulary == alone.learned(torch.arange(len(index)), 2, None).vocabulary
    counts = Counter(token for place in index for token in train[place].split())
    wanted = {token for token, count in counts.items() if count >= 2 or token in RESERVED}
    assert set(both.vocabulary.tokens) - set(RESERVED) - {"<unk>"} == wanted - set(RESERVED)


@given(texts, st.none() | st.integers(1, 4))
def test_a_sentence_is_encoded_with_its_end_and_then_cut(sentences, steps):
    side = Language.of("word", {"train": sentences}).learned(torch.arange(len(sentences)), 1, steps)
    for number, sentence in enumerate(sentences):
        known = [0 if word in RESERVED else side.vocabulary.indices[word] for word in sentence.split()]
        assert side.encoded["train"][number] == [*known, EOS][:steps]
        assert side.sentence("train", number) == sentence
    assert side.cut("train") == sum(len(sentence.split()) + 1 > (steps or 99) for sentence in sentences)


@given(texts, texts)
def test_the_fingerprint_of_a_pool_is_that_of_its_sentences_alone(one, other):
    pools = Language.of("word", {"test": one, "train": other})
    assert pools.fingerprint("train") == Language.of("word", {"train": other}).fingerprint("train")
    assert (pools.fingerprint("test") == pools.fingerprint("train")) == (one == other)


def test_the_share_of_unknown_tokens_is_that_of_the_pool():
    pools = {"test": ["a x", "y b"], "train": ["a b", "a b c"]}
    side = Language.of("word", pools).learned(torch.arange(2), 2, None)
    assert (side.unknown("test"), side.unknown("train")) == (0.5, 0.2)
