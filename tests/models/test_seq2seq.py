"""The encoder–decoder against a plain loop of torch's cells, and the interface by which it decodes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.inputs import Pairs, Stream
from d2lrun.models.seq2seq import Seq2Seq
from d2lrun.models.translator import Translator
from d2lrun.text.vocabulary import BOS, PAD

ARGUMENTS = {
    **{"embedding": 3, "hidden": 4, "layers": 2, "bidirectional": False, "dropout": 0.0},
    **{"attention": "none", "context": "encoder", "padding": "skip"},
}
LENGTHS = (5, 2, 3)


def network(classes=9, vocabulary=11, steps=None, **changes):
    torch.manual_seed(1)
    model = Seq2Seq(inputs=Pairs(vocabulary, steps), classes=classes, **{**ARGUMENTS, **changes})
    return model.eval()


def batch(more=0):
    """Sources and shifted targets, int64 [3, 5 + more] and [3, 4]."""
    generator = torch.Generator().manual_seed(2)
    sources = torch.randint(4, 11, (len(LENGTHS), 5 + more), generator=generator)
    inside = torch.arange(5 + more) < torch.tensor(LENGTHS)[:, None]
    targets = torch.randint(4, 9, (len(LENGTHS), 4), generator=generator)
    targets[:, 0] = BOS
    return sources.where(inside, PAD), targets


def one_step(layers, x, hidden):
    """One step of stacked GRU layers by their equations; ``hidden`` is a list of [D]."""
    after = []
    for number, h in enumerate(hidden):
        w_x, w_h = (getattr(layers, f"weight_{kind}_l{number}") for kind in ("ih", "hh"))
        b_x, b_h = (getattr(layers, f"bias_{kind}_l{number}") for kind in ("ih", "hh"))
        (r, z, n), (hr, hz, hn) = (w_x @ x + b_x).chunk(3), (w_h @ h + b_h).chunk(3)
        r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
        x = (1 - z) * torch.tanh(n + r * hn) + z * h
        after.append(x)
    return after


class Stacked:
    """The layers of the encoder under the names of torch's stacked layer."""

    def __init__(self, readers):
        for number, reader in enumerate(readers):
            for name, weight in reader.layers[0][0].named_parameters():
                setattr(self, name.replace("l0", f"l{number}"), weight)


def by_hand(model, source, target):
    """The logits [T, K] of one pair, word by word, without padding."""
    encoder, hidden, memory = Stacked(model.encoder.layers), [torch.zeros(4)] * 2, []
    for token in source[source != PAD]:
        hidden = one_step(encoder, model.encoder.embedding.weight[token], hidden)
        memory.append(hidden[-1])
    context, logits = hidden[-1], []
    for token in target:
        if model.attention is not None:
            scores = [
                model.attention.w_v.weight[0]
                @ torch.tanh(model.attention.W_q.weight @ hidden[-1] + model.attention.W_k.weight @ key)
                for key in memory
            ]
            context = sum(weight * value for weight, value in zip(torch.stack(scores).softmax(0), memory))
        hidden = one_step(model.decoder, torch.cat((model.embedding.weight[token], context)), hidden)
        logits.append(model.head(hidden[-1]))
    return torch.stack(logits)


@pytest.mark.parametrize("attention", ["none", "additive"])
def test_the_logits_are_those_of_a_loop_over_single_words(attention):
    model, (sources, targets) = network(attention=attention), batch()
    with torch.no_grad():
        together = model(sources, targets)
        for row, source, target in zip(together, sources, targets):
            torch.testing.assert_close(row, by_hand(model, source, target))


VARIANTS = [
    {"attention": attention, "layers": layers, "bidirectional": both}
    for attention in ("none", "additive")
    for layers, both in ((1, False), (2, True))
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_padding_changes_no_logit(changes):
    model, (sources, targets) = network(**changes), batch()
    single = [model(source[None, :length], target[None]) for source, target, length in zip(sources, targets, LENGTHS)]
    longer = torch.cat((sources, torch.full((len(sources), 3), PAD)), dim=1)
    torch.testing.assert_close(model(longer, targets), torch.cat(single))


@pytest.mark.parametrize("changes", VARIANTS)
def test_step_by_step_is_the_same_as_all_at_once(changes):
    model, (sources, targets) = network(**changes), batch()
    state, logits = model.start(sources), []
    for tokens in targets.T:
        found, state = model.step(tokens, state)
        logits.append(found)
    torch.testing.assert_close(torch.stack(logits, dim=1), model(sources, targets))


@pytest.mark.parametrize("changes", VARIANTS)
def test_selected_sequences_continue_as_if_alone(changes):
    model, (sources, targets) = network(**changes), batch()
    index = torch.tensor([2, 0, 2])
    _, state = model.step(targets[:, 0], model.start(sources))
    found, after = model.step(targets[index, 1], model.select(state, index))
    _, other = model.step(targets[index, 0], model.start(sources[index]))
    wanted, others = model.step(targets[index, 1], other)
    torch.testing.assert_close(found, wanted)
    if changes["attention"] == "additive":
        torch.testing.assert_close(model.weights(after), model.weights(others))


def test_attention_is_a_mean_over_the_source_without_padding():
    model, (sources, targets) = network(attention="additive"), batch()
    weights = model.weights(model.step(targets[:, 0], model.start(sources))[1])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    assert (weights[sources == PAD] == 0).all() and (weights[sources != PAD] > 0).all()
    assert network().weights(network().start(sources)) is None


def test_the_books_decoding_takes_the_decoders_state_as_context_after_the_first_step():
    """In training, all variants are the same network."""
    right, book, (sources, targets) = network(), network(context="state"), batch()
    torch.testing.assert_close(book(sources, targets), right(sources, targets))
    (first, state), (wanted, other) = (model.step(targets[:, 0], model.start(sources)) for model in (book, right))
    torch.testing.assert_close(first, wanted)
    found, _ = book.step(targets[:, 1], state)
    assert not torch.allclose(found, right.step(targets[:, 1], other)[0])
    read = torch.cat((book.embedding(targets[:, 1]), state.hidden[-1]), dim=1)
    torch.testing.assert_close(found, book.head(book.decoder(read[None], state.hidden)[0][0]))


def test_reading_padding_is_reading_it_as_a_token():
    """As torch's own layer over the padded batch."""
    model, (sources, _) = network(padding="read", steps=5, layers=1), batch()
    layer = model.encoder.layers[0].layers[0][0]
    outputs, last = layer(model.encoder.embedding(sources.T))
    state = model.start(sources)
    torch.testing.assert_close(state.memory, outputs.transpose(0, 1))
    torch.testing.assert_close(state.hidden, last)


@pytest.mark.parametrize("attention, wanted", [("none", 47_369), ("additive", 49_449)])
def test_parameters_are_those_of_the_book(attention, wanted):
    model = network(201, 184, **{"embedding": 32, "hidden": 32, "attention": attention})
    assert sum(parameter.numel() for parameter in model.parameters()) == wanted
    assert sum(parameter.numel() for parameter in model.encoder.parameters()) == 18_560


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"padding": "read"}, "dataset.batches=fixed"),
        ({"bidirectional": True, "hidden": 3}, "hidden=3: wanted an even number"),
        ({"inputs": Stream(4)}, "pairs of sequences"),
    ],
)
def test_what_contradicts_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        Seq2Seq(**{"inputs": Pairs(9), "classes": 5, **ARGUMENTS, **changes})


def test_it_is_a_translator_and_learns():
    model, (sources, targets) = network(attention="additive", dropout=0.1).train(), batch()
    assert isinstance(model, Translator) and isinstance(model, nn.Module)
    F.cross_entropy(model(sources, targets).flatten(0, 1), targets.flatten()).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())
