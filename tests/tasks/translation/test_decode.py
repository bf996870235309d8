"""Greedy and beam search, against a search of all sequences."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from d2lrun.models.inputs import Pairs
from d2lrun.models.seq2seq import Seq2Seq
from d2lrun.tasks.translation.decode import beam_search, greedy, limits
from d2lrun.text.vocabulary import BOS, EOS, PAD

K, STEPS = 6, 3
ARGUMENTS = {
    **{"embedding": 4, "hidden": 6, "layers": 1, "bidirectional": False, "dropout": 0.0},
    **{"context": "encoder", "padding": "skip"},
}


def network(seed, attention="additive", scale=4.0):
    """A random network whose distributions are not flat."""
    torch.manual_seed(seed)
    model = Seq2Seq(inputs=Pairs(9), classes=K, attention=attention, **ARGUMENTS)
    with torch.no_grad():
        model.head.weight.mul_(scale)
    return model


SOURCES = torch.tensor([[4, 5, 6, EOS], [7, EOS, PAD, PAD], [8, 8, EOS, PAD]])


def candidates():
    """All sequences that end in <eos>, or have all steps without one."""
    for length in range(1, STEPS + 1):
        for tokens in product(range(K), repeat=length):
            if EOS not in tokens[:-1] and (tokens[-1] == EOS or length == STEPS):
                yield tokens


def log_probabilities(model, source):
    """Of each candidate, under teacher forcing."""
    rows = torch.tensor([[*tokens, *[PAD] * (STEPS - len(tokens))] for tokens in candidates()])
    given = torch.cat((torch.full((len(rows), 1), BOS), rows[:, :-1]), dim=1)
    with torch.no_grad():
        scores = model.eval()(source.expand(len(rows), -1), given).double().log_softmax(dim=2)
    return [sum(scores[n, t, token] for t, token in enumerate(tokens)).item() for n, tokens in enumerate(candidates())]


@pytest.mark.parametrize("alpha", [0.0, 0.75])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_sequences(seed, alpha):
    model = network(seed)
    for source in SOURCES.split(1):
        scores = zip(log_probabilities(model, source), candidates())
        best = max(scores, key=lambda each: each[0] / len(each[1]) ** alpha)[1]
        found = beam_search(model, source, K**STEPS, alpha, STEPS)
        assert found.tokens == [token for token in best if token != EOS]


class Table(nn.Module):
    """A translator that knows the probabilities of the next token after each prefix: the example of book 9.8."""

    def __init__(self, probabilities):
        super().__init__()
        self.probabilities = probabilities

    def start(self, source):
        return [None] * len(source)  # nothing is read

    def step(self, tokens, state):
        state = [() if prefix is None else (*prefix, token) for prefix, token in zip(state, tokens.tolist())]
        rows = [self.probabilities.get(prefix, [0.25] * 4) for prefix in state]
        return torch.tensor(rows).log(), state

    def select(self, state, index):
        return [state[place] for place in index.tolist()]

    def weights(self, state):
        return None


A, B, C, END = 0, 1, 2, EOS
BOOK = {  # after each prefix, the probabilities of A, B, C and <eos>
    (): [0.5, 0.2, 0.2, 0.1],
    (A,): [0.1, 0.4, 0.3, 0.2],
    (A, B): [0.2, 0.2, 0.4, 0.2],
    (A, B, C): [0.0, 0.2, 0.2, 0.6],
    (A, C): [0.1, 0.6, 0.2, 0.1],
    (A, C, B): [0.1, 0.2, 0.1, 0.6],
}


def test_the_books_example_is_found_by_a_beam_and_not_greedily():
    """.5 · .4 · .4 · .6 = .048 against .5 · .3 · .6 · .6 = .054."""
    model, source = Table(BOOK), torch.tensor([[4]])
    assert greedy(model, source, 4)[0].tokens == [A, B, C]
    assert beam_search(model, source, 2, 0.75, 4).tokens == [A, C, B]


@pytest.mark.parametrize("attention", ["none", "additive"])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy_search_and_no_batch_changes_it(seed, attention):
    model = network(seed, attention)
    together = greedy(model, SOURCES, 7)
    for source, wanted in zip(SOURCES, together):
        alone = source[source != PAD][None]
        for found in (beam_search(model, source[None], 1, steps=7), *greedy(model, alone, 7)):
            assert found.tokens == wanted.tokens
            assert (found.weights is None) == (attention == "none")
            if found.weights is not None:
                pairs = zip(found.weights, wanted.weights, strict=True)
                assert all(torch.allclose(one[: alone.shape[1]], other[: alone.shape[1]]) for one, other in pairs)


def test_a_target_ends_at_the_limit_and_has_attention_for_each_token():
    model = network(1)
    with torch.no_grad():
        model.head.bias[EOS] = -1e9
    assert [len(found.tokens) for found in greedy(model, SOURCES, 5)] == [5, 5, 5]
    assert [len(found.weights) for found in greedy(model, SOURCES, 5)] == [5, 5, 5]
    wanted = limits(SOURCES, None).tolist()
    assert wanted == [18, 14, 16]  # twice the source, and 10 more
    assert [len(found.tokens) for found in greedy(model, SOURCES)] == wanted
    assert len(beam_search(model, SOURCES[1:2, :2], 3).tokens) == 14


def test_an_end_in_the_first_step_is_an_empty_target():
    model = network(1)
    with torch.no_grad():
        model.head.bias[EOS] = 1e9
    found = greedy(model, SOURCES, 5)
    assert [each.tokens for each in found] == [[], [], []]
    assert beam_search(model, SOURCES[:1], 2, steps=5).tokens == []
    assert [len(each.weights) for each in found] == [1, 1, 1]  # of <eos>


def test_decoding_keeps_the_mode_of_the_model():
    model = network(1).train()
    greedy(model, SOURCES, 2)
    beam_search(model.eval(), SOURCES[:1], 2, steps=2)
    assert not model.training
