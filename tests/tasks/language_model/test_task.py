from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.compose import compose
from d2lrun.tasks.language_model.stream import TextDataset, TextSubset
from d2lrun.tasks.language_model.task import LanguageModel, build, detached
from d2lrun.text.vocabulary import Vocabulary


def tensors(logits, labels):
    return torch.from_numpy(logits), torch.from_numpy(labels)


def rows(size, steps, classes, seed):
    numbers = np.random.default_rng(seed)
    return numbers.normal(scale=3, size=(size, steps, classes)), numbers.integers(classes, size=(size, steps))


texts = st.builds(rows, st.integers(1, 4), st.integers(1, 5), st.integers(2, 6), st.integers(0, 10**6))


@given(texts)
def test_the_loss_of_a_text_is_the_mean_over_all_its_tokens(text):
    logits, tokens = text
    each = [
        math.log(np.exp(logits[row, step]).sum()) - logits[row, step, token]
        for (row, step), token in np.ndenumerate(tokens)
    ]
    loss = LanguageModel(8, stateful=True).loss(*tensors(logits, tokens)).item()
    assert loss == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-12)


@given(st.lists(texts, min_size=1, max_size=4))
def test_the_perplexity_is_e_to_the_summed_loss_by_the_number_of_tokens(batches):
    """Of all batches together, however large each is: not a mean of their perplexities."""
    task, sums, units, total = LanguageModel(8, stateful=True), torch.zeros(1, dtype=torch.float64), 0, 0.0
    for logits, tokens in batches:
        given = tensors(logits, tokens)
        sums += task.count(*given, task.loss(*given))
        units += tokens.size
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
        total -= np.take_along_axis(log_probabilities, tokens[..., None], axis=2).sum()
    measured = task.metrics("val", sums, units)
    assert list(measured) == ["val_loss", "val_perplexity"]
    assert measured["val_perplexity"] == pytest.approx(math.exp(total / units), rel=1e-9)


def test_a_loss_too_high_for_a_float_has_a_perplexity_all_the_same():
    measured = LanguageModel(8, stateful=False).metrics("train", torch.tensor([1e6]), 2)
    assert math.isfinite(measured["train_perplexity"])


class Recurrent(torch.nn.Module):
    """The state is the sum of what was read, times a weight."""

    def __init__(self, parts):
        super().__init__()
        self.weight, self.parts, self.given = torch.nn.Parameter(torch.ones(())), parts, []

    def forward(self, tokens, state):
        self.given.append(state)
        h = (0.0 if state is None else state if self.parts == 1 else state[0]) + self.weight * tokens.double().sum(1)
        return h[:, None, None].expand(*tokens.shape, 3), h if self.parts == 1 else (h, 2 * h)


@pytest.mark.parametrize("parts", [1, 2])  # an LSTM has two
def test_a_state_is_carried_on_by_value_and_no_gradient_flows_back_into_the_batch_before(parts):
    model, task, tokens = Recurrent(parts), LanguageModel(8, stateful=True), torch.tensor([[1, 2], [3, 4]])
    _, carry = task.forward(model, tokens, None)
    logits, _ = task.forward(model, tokens, carry)
    assert model.given[0] is None
    given = model.given[1] if parts == 1 else model.given[1][0]
    assert given.tolist() == [3.0, 7.0] and not given.requires_grad
    assert logits[:, 0, 0].tolist() == [6.0, 14.0]
    logits[:, 0, 0].sum().backward()
    assert model.weight.grad.item() == 10.0  # of the second batch; it would be 20 with the first


def test_all_parts_of_a_state_lose_their_history():
    parts = [torch.ones(2, requires_grad=True) * factor for factor in (1, 2)]
    assert [part.requires_grad for part in detached(tuple(parts))] == [False, False]
    assert torch.equal(detached(parts[1]), torch.full((2,), 2.0)) and not detached(parts[1]).requires_grad


@pytest.mark.parametrize("sampling, carries", [("sequential", True), ("random", False)])
def test_a_text_is_a_language_models_and_only_sequential_windows_carry_a_state(sampling, carries):
    vocabulary = Vocabulary(["<unk>", "a"])
    task = build(
        TextDataset("t", vocabulary, torch.zeros(9), "here", "char", "none", sampling=sampling),
        compose(["model=rnn"]).model,
    )
    assert isinstance(task, LanguageModel) and task.stateful == carries


def test_the_floor_of_a_text_is_its_unigrams():
    train, val = (TextSubset(torch.tensor(tokens), 1, "sequential") for tokens in ([0, 0, 0, 1], [0, 1, 2]))
    wanted = (4 / 8 * 2 / 8 * 1 / 8) ** (-1 / 3)  # with one added to each count
    assert LanguageModel(4, stateful=True).floor(train, val) == pytest.approx(wanted)


def test_at_chance_is_what_is_no_better_than_the_floor():
    task = LanguageModel(8, stateful=True)
    assert not task.at_chance(16.9, 17.0)
    assert task.at_chance(17.0, 17.0)
    assert not task.at_chance(math.nan, 17.0)
