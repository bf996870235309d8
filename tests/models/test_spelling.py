"""Vectors of words with their spelling do not depend on padding."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from d2lrun.models import lstm
from d2lrun.models.inputs import Spelled, example_of
from d2lrun.models.spelling import SpelledEmbedding
from d2lrun.text.vocabulary import PAD

INPUTS = Spelled(20, each=True, characters=9, spelled=4)


def words(*spellings):
    """Words [T, 1, 1 + 4] that are spelled so."""
    rows = [[2 + place, *spelling, *[PAD] * (4 - len(spelling))] for place, spelling in enumerate(spellings)]
    return torch.tensor(rows).unsqueeze(1)


def test_a_spelling_is_the_maximum_of_each_filter():
    """Oracle: torch's convolution of the characters alone, without padding."""
    torch.manual_seed(1)
    embedding = SpelledEmbedding(INPUTS, 3)
    spellings = ([5, 6, 7, 8], [5], [3, 3], [])
    found = embedding(words(*spellings))[:, 0]
    for row, place, spelling in zip(found, range(4), spellings, strict=True):
        torch.testing.assert_close(row[:3], embedding.words.weight[2 + place])
        alone = embedding.characters(torch.tensor(spelling, dtype=torch.int64)).T
        kernel, bias = embedding.filters.weight, embedding.filters.bias
        wanted = F.conv1d(alone, kernel, bias, padding=1).amax(dim=1) if spelling else torch.zeros(64)
        torch.testing.assert_close(row[3:], wanted.relu())


def test_more_padding_changes_no_tag():
    torch.manual_seed(1)
    arguments = {"hidden": 5, "layers": 1, "bidirectional": True, "dropout": 0.0, "impl": "torch"}
    model = lstm.build(inputs=INPUTS, classes=3, embedding=4, tied=False, **arguments).eval()
    sentence = words([5, 6], [7], [4, 4, 4]).transpose(0, 1)  # [1, T, 1 + C]
    wider = F.pad(sentence, (0, 3), value=PAD)  # more characters
    longer = F.pad(wider, (0, 0, 0, 2), value=PAD)  # more words
    torch.testing.assert_close(model(longer)[:, :3], model(sentence))


def test_the_example_is_of_the_vocabularies():
    (tokens,) = example_of(Spelled(2, each=True, characters=2, spelled=3))
    assert tokens.shape[0] == 1 and tokens.shape[2] == 4 and int(tokens.max()) < 2
