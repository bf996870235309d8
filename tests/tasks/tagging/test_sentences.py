"""Batches of tagged sentences, and vocabularies that are learned from the training part only."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.errors import Refused
from d2lrun.tasks.tagging.facts import remarks
from d2lrun.tasks.tagging.sentences import IGNORED, build
from d2lrun.text.vocabulary import PAD

TEXTS = st.text("abcd<>pu", min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(TEXTS, st.sampled_from("XYZ")), min_size=1, max_size=5)
SENTENCES = st.lists(PAIRS, min_size=2, max_size=6)


def made(sentences, test=None, **changes):
    """The dataset of sentences of (word, tag), not fitted."""
    parts = [each and [tuple(map(list, zip(*sentence))) for sentence in each] for each in (sentences, test)]
    return replace(build("tagged-text", *parts, "here", ()), **changes)


def fitted(data, *index):
    return data.fitted(torch.tensor(index) if index else torch.arange(len(data.train.words)))


@settings(max_examples=30)
@given(SENTENCES, st.sampled_from([None, 1, 4]), st.integers(1, 4), st.data())
def test_a_batch_has_its_words_characters_and_tags(sentences, characters, steps, draw):
    data = fitted(made(sentences, characters=characters, steps=steps))
    part = data.train_part()
    batch = draw.draw(st.lists(st.sampled_from(range(len(sentences))), min_size=1, max_size=4))
    inputs, tags = part.load(torch.tensor(batch))
    cut = [sentences[index][:steps] for index in batch]
    assert part.count([torch.tensor(batch)]) == sum(map(len, cut))
    assert tags.shape == (len(batch), max(map(len, cut))) == inputs.shape[:2]
    for row, targets, sentence in zip(inputs, tags, cut):
        words = row[:, 0] if characters else row
        known = data.learned.vocabulary
        assert words.tolist() == [*known.encode(word for word, _ in sentence), *[PAD] * (len(row) - len(sentence))]
        names = data.learned.tagset.encode(tag for _, tag in sentence)
        assert targets.tolist() == [*names, *[IGNORED] * (len(row) - len(sentence))]
        for place, (word, _) in enumerate(sentence) if characters else ():
            spelled = data.learned.alphabet.encode(word[:characters])
            assert row[place, 1:].tolist() == [*spelled, *[PAD] * (characters - len(spelled))]


@settings(max_examples=30)
@given(SENTENCES, st.data())
def test_nothing_is_learned_from_what_is_held_out(sentences, draw):
    index = draw.draw(st.lists(st.sampled_from(range(len(sentences))), min_size=1, unique=True))
    learned = fitted(made(sentences, characters=2), *index).learned
    kept = [pair for place in index for pair in sentences[place]]
    assert set(learned.vocabulary.tokens) == {"<unk>", "<pad>", *(word for word, _ in kept)}
    assert set(learned.tagset.tokens) == {"<unk>", *(tag for _, tag in kept)}
    assert set(learned.alphabet.tokens) == {"<unk>", "<pad>", *"".join(word for word, _ in kept)}


def test_a_word_written_like_padding_is_unknown():
    inputs, tags = fitted(made([[("<pad>", "X"), ("a", "Y")]])).train_part().load(torch.tensor([0]))
    assert inputs.tolist() == [[0, 2]]
    assert IGNORED not in tags


def test_rare_words_are_unknown():
    data = fitted(made([[("a", "X"), ("a", "X"), ("b", "X")]], min_freq=2))
    assert data.learned.vocabulary.tokens == ["<unk>", "<pad>", "a"]


def test_the_fingerprint_is_of_what_is_measured():
    own, other = [[("a", "X"), ("b", "Y")]], [[("c", "X")], [("a", "Y")]]
    data = made(own, other)
    assert data.pool("train") == made(own).pool("train") == made(own, other[:1], min_freq=2).pool("train")
    assert data.pool("test") == made([[("z", "Z")]], other).pool("test")  # whatever was trained on
    changed = (made(other), made([[("a", "X"), ("b", "X")]]), made([own[0][:1], own[0][1:]]), made(own, steps=1))
    assert len({data.pool("train"), *(each.pool("train") for each in changed)}) == 5


def test_what_training_does_not_have_is_said():
    data = made([[("a", "X"), ("b", "X")], [("b", "Y")]], [[("a", "X"), ("b", "X")], [("c", "Z"), ("a", "X")]])
    assert list(remarks(fitted(data, 0))) == [
        "held-out part: 0 of 1 word (0.0%) not in the vocabulary",
        "held-out part: 1 tag that training does not have (Y): counted as errors",
        "test part: 1 of 4 words (25.0%) not in the vocabulary",
        "test part: 1 tag that training does not have (Z): counted as errors",
        "test part: 1 of 2 sentences also in training, word for word",
    ]
    assert (
        next(remarks(fitted(replace(data, steps=1)))) == "3 sentences longer than dataset.steps=1 cut: 3 words left out"
    )


def test_the_split_covers_each_sentence_once():
    from d2lrun.config.compose import compose

    config = compose(["model=lstm", "dataset=tagged-text", "validation=kfold", "validation.k=2", "validation.fold=1"])
    data = made([[("a", "X")]] * 5).fit(config.validation, 3)
    split = data.split(config.validation, 3)
    assert sorted([*split.train.index.tolist(), *split.val.index.tolist()]) == [0, 1, 2, 3, 4]
    assert data.learned.index.tolist() == split.train.index.tolist()


@pytest.mark.parametrize("sentences, named", [([], "no sentence in it"), ([[("a", "<unk>")]], "a tag is <unk>")])
def test_what_cannot_be_learned_is_refused(sentences, named):
    with pytest.raises(Refused, match=named):
        made(sentences)
