"""Recurrent networks over padded sequences give the outputs of the single sequences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from d2lrun.models import gru, lstm, rnn
from d2lrun.models.inputs import Sequences
from d2lrun.models.sequences import reversed_in_time
from d2lrun.text.vocabulary import PAD

ARGUMENTS = {"hidden": 5, "dropout": 0.0, "embedding": 4, "tied": False}
LENGTHS = (7, 1, 4)


def network(module, *, each, layers=2, bidirectional=True, impl="torch", **changes):
    torch.manual_seed(1)
    arguments = ARGUMENTS | ({"reset_after": True} if module is gru else {}) | changes
    shape = {"layers": layers, "bidirectional": bidirectional, "impl": impl}
    return module.build(inputs=Sequences(20, each), classes=3, **shape, **arguments).eval()


def sequences():
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(2, 20, (length,), generator=generator) for length in LENGTHS]


def padded(more=0):
    rows = nn.utils.rnn.pad_sequence(sequences(), batch_first=True, padding_value=PAD)
    return torch.cat((rows, torch.full((len(rows), more), PAD)), dim=1)


KINDS = [
    (module, layers, both, impl)
    for module in (rnn, gru, lstm)
    for layers, both, impl in ((1, False, "torch"), (2, True, "torch"), (2, True, "scratch"))
]


@pytest.mark.parametrize("more", [0, 5])
@pytest.mark.parametrize("module, layers, both, impl", KINDS)
def test_a_class_does_not_depend_on_padding(module, layers, both, impl, more):
    model = network(module, each=False, layers=layers, bidirectional=both, impl=impl)
    single = torch.cat([model(one[None]) for one in sequences()])
    torch.testing.assert_close(model(padded(more)), single)


@pytest.mark.parametrize("more", [0, 5])
@pytest.mark.parametrize("module, layers, both, impl", KINDS)
def test_a_tag_does_not_depend_on_padding(module, layers, both, impl, more):
    model = network(module, each=True, layers=layers, bidirectional=both, impl=impl)
    together = model(padded(more))
    for row, one in zip(together, sequences(), strict=True):
        torch.testing.assert_close(row[: len(one)], model(one[None])[0])


@pytest.mark.parametrize("module, layer", [(rnn, nn.RNN), (gru, nn.GRU), (lstm, nn.LSTM)])
def test_the_reader_is_torchs_layer_over_packed_sequences(module, layer):
    """Oracle: torch's bidirectional layers with the same weights."""
    model, torchs = network(module, each=False), layer(4, 5, 2, bidirectional=True)
    state = {}
    for depth, directions in enumerate(model.reader.layers):
        for one, end in zip(directions, ("", "_reverse"), strict=True):
            state |= {f"{name[:-1]}{depth}{end}": weight for name, weight in one.state_dict().items()}
    torchs.load_state_dict(state)
    embedded = nn.utils.rnn.pack_sequence([model.embedding(one) for one in sequences()], enforce_sorted=False)
    outputs, left = torchs(embedded)
    hidden = left[0] if isinstance(left, tuple) else left
    found = model.reader(model.embedding(padded().T), torch.tensor(LENGTHS))
    wanted, _ = nn.utils.rnn.pad_packed_sequence(outputs)
    inside = (padded() != PAD).T
    torch.testing.assert_close(found[inside], wanted[inside])
    torch.testing.assert_close(model.reader.last(found, torch.tensor(LENGTHS)), torch.cat(tuple(hidden[-2:]), dim=1))


def test_padding_gets_no_gradient():
    model = network(gru, each=False)
    model(padded()).sum().backward()
    assert model.embedding.weight.grad[PAD].abs().sum() == 0 < model.embedding.weight.grad.abs().sum()


def test_each_sequence_is_reversed_alone():
    x = torch.arange(12.0).view(4, 3, 1)
    assert reversed_in_time(x, torch.tensor([4, 1, 0]))[:, :, 0].T.tolist() == [
        [9.0, 6.0, 3.0, 0.0],
        [1.0, 4.0, 7.0, 10.0],
        [2.0, 5.0, 8.0, 11.0],
    ]


def test_an_empty_sequence_has_a_class():
    assert network(lstm, each=False)(torch.full((2, 3), PAD)).isfinite().all()


@pytest.mark.parametrize("changes, named", [({"tied": True}, "tied=false")])
def test_arguments_without_a_meaning_are_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        network(gru, each=False, **changes)
