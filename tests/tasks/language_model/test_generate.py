from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import islice

import pytest
import torch
from torch import nn

from d2lrun.errors import Refused
from d2lrun.models import gru, lstm, rnn
from d2lrun.models.inputs import Stream
from d2lrun.models.ngram import NGram
from d2lrun.tasks.language_model.generate import choose, generate, step
from tests.bits import same_bits

V = 7
PREFIX = [1, 4, 2]
ARGUMENTS = {"inputs": None, "classes": V, "hidden": 16, "layers": 2, "bidirectional": False, "dropout": 0.5}
ARGUMENTS |= {"embedding": None, "tied": False}
BUILDERS = {"rnn": rnn.build, "gru": partial(gru.build, reset_after=False), "lstm": lstm.build}


def recurrent(kind, impl, **arguments):
    torch.manual_seed(1)
    model = BUILDERS[kind](**(ARGUMENTS | arguments), impl=impl)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


def counting(order=4):
    tokens = torch.randint(V, (400,), generator=torch.Generator().manual_seed(0))
    return NGram(inputs=Stream(35), classes=V, order=order, smoothing="kneser-ney", strength=[1.0]).fit(tokens)


MODELS = {f"{kind}-{impl}": partial(recurrent, kind, impl) for kind in BUILDERS for impl in ("torch", "scratch")}
MODELS["ngram"] = counting


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def behind(model, tokens):
    """The logits behind a history, all of it read anew."""
    with torch.no_grad():
        return model.eval()(torch.tensor([tokens]))[0][0, -1]


def test_greedy_is_a_loop_of_argmax_over_all_that_was_written(model):
    written = list(PREFIX)
    for _ in range(20):
        written.append(int(behind(model, written).argmax()))
    assert list(generate(model, PREFIX, 20)) == written[len(PREFIX) :]


def test_the_prefix_matters(model):
    firsts = {tuple(generate(model, [token], 5)) for token in range(V)}
    assert len(firsts) > 1


def test_the_same_seed_writes_the_same(model):
    write = partial(generate, model, PREFIX, 40, temperature=1.0)
    assert list(write(seed=3)) == list(write(seed=3))
    assert list(write(seed=3)) != list(write(seed=4))


def test_other_draws_from_torchs_generator_change_nothing(model):
    expected = list(generate(model, PREFIX, 10, temperature=1.0, seed=3))
    written = []
    for token in generate(model, PREFIX, 10, temperature=1.0, seed=3):
        torch.rand(5)
        written.append(token)
    assert written == expected


@pytest.mark.parametrize("temperature, top_k", [(1.0, None), (0.5, None), (2.0, 3), (1.0, V), (1.0, 99)])
def test_tokens_come_as_often_as_softmax_says(temperature, top_k):
    logits, generator = torch.tensor([0.3, -1.0, 1.2, 0.0, 2.0, -0.5, 0.8]), torch.Generator().manual_seed(0)
    kept = logits.clone()
    if top_k == 3:
        kept[[0, 1, 3, 5]] = -torch.inf
    chances = (kept / temperature).softmax(dim=0)
    draws = 5_000
    counts = Counter(choose(logits, temperature, top_k, generator) for _ in range(draws))
    assert {token for token in range(V) if chances[token] == 0}.isdisjoint(counts)
    for token, chance in enumerate(chances.tolist()):
        error = (chance * (1 - chance) / draws) ** 0.5
        assert counts[token] / draws == pytest.approx(chance, abs=4.5 * error + 1e-12)


def test_drawn_tokens_follow_the_models_own_probabilities():
    model = counting(order=1)  # whose draws do not depend on each other
    chances, draws = behind(model, PREFIX).double().exp(), 5_000
    counts = Counter(generate(model, PREFIX, draws, temperature=1.0, seed=2))
    for token, chance in enumerate(chances.tolist()):
        assert counts[token] / draws == pytest.approx(chance, abs=4.5 * (chance / draws) ** 0.5)


def test_drawing_from_the_best_alone_is_greedy(model):
    assert list(generate(model, PREFIX, 20, temperature=1.0, top_k=1)) == list(generate(model, PREFIX, 20))


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_a_temperature_near_zero_is_greedy(temperature):
    logits, generator = torch.tensor([-3e4, 5.0, 1.0, 4.9, -torch.inf]), torch.Generator().manual_seed(0)
    assert {choose(logits, temperature, None, generator) for _ in range(100)} == {1}


@pytest.mark.parametrize("temperature, top_k", [(0.0, None), (1.0, 1)])
def test_of_equals_the_first_is_taken(temperature, top_k):
    logits = torch.tensor([0.0, 2.0] * 50)
    assert choose(logits, temperature, top_k, torch.Generator()) == 1


@pytest.mark.parametrize("training", [False, True])
def test_dropout_is_off_while_it_writes_and_the_mode_is_kept(model, training):
    expected = list(generate(model.eval(), PREFIX, 20))
    model.train(training)
    for token, other in zip(generate(model, PREFIX, 20), expected, strict=True):
        assert token == other
        assert all(module.training == training for module in model.modules())


def test_it_writes_as_it_is_asked(model):
    assert len(list(islice(generate(model, PREFIX, 10**9), 3))) == 3


def test_nothing_is_kept_for_gradients(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(generate(model, PREFIX, 5))
    assert same_bits(model.state_dict(), before)
    assert all(parameter.grad is None for parameter in model.parameters())
    logits, state = step(model, PREFIX, None)
    assert not any(tensor.requires_grad for tensor in (logits, *state))
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_bidirectional_model_is_refused_at_once(kind):
    with pytest.raises(Refused, match="before and after it"):
        generate(recurrent(kind, "torch", bidirectional=True), PREFIX, 5)


def test_an_empty_prefix_is_refused_at_once(model):
    with pytest.raises(Refused, match="prefix is empty"):
        generate(model, [], 5)
