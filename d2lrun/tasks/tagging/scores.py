"""Counts of labels, and the prediction without a network. n words, L labels, K tags, W words."""

from __future__ import annotations

import torch
from torch import Tensor

from d2lrun.tasks.tagging.sentences import TaggedSubset


def counts_of(true: Tensor, predicted: Tensor, labels: Tensor) -> Tensor:
    """Return how often each label is true, predicted and right, float64 [3, L].

    True and predicted tags [n]; ``labels`` [K, F] are the labels of each tag.
    """
    true, predicted = labels[true].flatten(), labels[predicted].flatten()  # [n · F]
    count = int(labels.max()) + 1
    return torch.stack([each.bincount(minlength=count) for each in (true, predicted, true[true == predicted])]).double()


def usual_tags(train: TaggedSubset) -> Tensor:
    """Return the most frequent tag in training of each word, int64 [W] by the numbers of the words.

    For a word that training does not have it is the most frequent tag of the words that occur there once, which are
    like it, or else of all. Of tags that are equally frequent, the one that is more frequent in all of training.
    """
    words, tags = train.numbers()
    data = train.data
    pairs, counts = (words * data.outputs + tags).unique(return_counts=True)  # sorted by word, then by tag
    best = pairs[counts.argsort(descending=True, stable=True)]
    best = best[(best // data.outputs).argsort(stable=True)]  # by word, the most frequent tag first
    of_word = best // data.outputs
    first = torch.ones_like(of_word, dtype=torch.bool)
    first[1:] = of_word[1:] != of_word[:-1]
    once = words.bincount(minlength=len(data.words))[words] == 1
    rare = tags[once] if once.any() else tags
    found = torch.full((len(data.words),), int(rare.bincount().argmax()))
    found[of_word[first]] = best[first] % data.outputs
    return found
