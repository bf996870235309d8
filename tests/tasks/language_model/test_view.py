from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from d2lrun.tasks.language_model import view
from d2lrun.tasks.language_model.stream import TextSubset
from d2lrun.training.task import Split


def text(*tokens):
    return TextSubset(torch.tensor(tokens, dtype=torch.int32), steps=1, sampling="sequential")


def guessing(size, *subsets):
    """What a result says of guesses, for a vocabulary of ``size`` tokens."""
    return view.describe(SimpleNamespace(split=Split(*subsets), data=SimpleNamespace(outputs=size)), None)


def test_guessing_is_measured_against_what_it_comes_to_by_hand():
    """0 0 0 1 train, of 4 tokens: with one added to each, the counts are 4 2 1 1 of 8."""
    found = guessing(4, text(0, 0, 0, 1), text(0, 1, 2), None)
    assert found["baselines"]["uniform"] == 4.0
    assert found["baselines"]["unigram"] == pytest.approx((4 / 8 * 2 / 8 * 1 / 8) ** (-1 / 3))
    assert found["note"] is None


def test_without_validation_guessing_is_measured_on_what_trained_and_that_is_said():
    found = guessing(2, text(0, 0, 0, 1), None, None)
    assert found["baselines"]["unigram"] == pytest.approx(math.exp(-(3 * math.log(4 / 6) + math.log(2 / 6)) / 4))
    assert "validation=holdout" in found["note"]


def test_where_all_tokens_are_alike_both_guesses_are():
    found = guessing(7, text(*range(7)), None, None)
    assert found["baselines"] == {"uniform": 7.0, "unigram": pytest.approx(7.0)}
