"""The dataset of a run: learned from its training part, once."""

from __future__ import annotations

import pytest

from d2lrun import datasets
from d2lrun.config.compose import compose
from d2lrun.tasks.text_classification.texts import LabelledTexts


@pytest.fixture
def fits(monkeypatch):
    """How many training texts each fit learned from."""
    seen, fitted = [], LabelledTexts.fitted
    monkeypatch.setattr(LabelledTexts, "fitted", lambda data, index: (seen.append(len(index)), fitted(data, index))[1])
    monkeypatch.setattr(datasets, "_fitted", None)
    return seen


def test_form_and_data_of_a_run_learn_once_and_each_fold_again(own_texts, fits):
    words = ["model=bag-of-words", "dataset=labelled-text", *own_texts]
    for fold in (0, 0, 1):
        config = compose([*words, "validation=kfold", "validation.k=3", f"validation.fold={fold}"])
        datasets.form(config)
        datasets.prepared(config)
    assert fits == [60, 60]
    datasets.prepared(compose([*words, "seed=2"]))
    assert fits == [60, 60, 90]
