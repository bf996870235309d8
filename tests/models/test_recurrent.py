from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models import gru, lstm, rnn
from d2lrun.models.gru import GRUCell
from d2lrun.models.lstm import LSTMCell
from d2lrun.models.recurrent import OneHot, Stack
from d2lrun.models.rnn import RNNCell

T, B, V, D = 7, 3, 5, 4
TEXT = {"inputs": None, "classes": V, "hidden": D, "layers": 1, "bidirectional": False, "dropout": 0.0}
TEXT |= {"impl": "torch", "embedding": None, "tied": False}
KINDS = ("rnn", "gru", "lstm")
CELLS = {"rnn": RNNCell, "gru": partial(GRUCell, reset_after=True), "lstm": LSTMCell}
LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"rnn": "h", "gru": "rzh", "lstm": "ifco"}  # in torch's order


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=["torch", "scratch"])
def impl(request):
    return request.param


def fresh(kind, **arguments):
    torch.manual_seed(0)
    build = {"rnn": rnn.build, "gru": partial(gru.build, reset_after=True), "lstm": lstm.build}[kind]
    return build(**(TEXT | arguments))


def model(kind, **arguments):
    """One whose weights are large enough to see every dependence in float32."""
    network = fresh(kind, **arguments)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return network


def tokens(rows=B, steps=T):
    return torch.randint(V, (rows, steps), generator=torch.Generator().manual_seed(1))


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def names(kind, matrix):
    """The scratch parameters behind one of torch's, in its order: x -> W_xr, W_xz, W_xh of a GRU."""
    return [f"b_{gate}" if matrix == "b" else f"W_{matrix}{gate}" for gate in GATES[kind]]


def as_torchs(kind, stack, index):
    """How torch names a cell, and its parameters in torch's arrangement: W_ih, W_hh, and the sum of the biases."""
    get = {name: parameter.detach() for name, parameter in stack.cells[index].named_parameters()}
    at, back = divmod(index, stack.directions)
    joined = {matrix: torch.cat([get[name].t() for name in names(kind, matrix)]) for matrix in ("x", "h", "b")}
    return f"l{at}" + ("_reverse" if back else ""), joined


def pair(kind, features, *, layers=1, bidirectional=False, dropout=0.0):
    """A stack from scratch and torch's layer with the same random weights.

    Torch's second bias takes a part of the sum, but for the GRU's candidate: there it stands inside the reset
    gate's product, where the book has none.
    """
    torch.manual_seed(2)
    stack = Stack(CELLS[kind], features, D, layers=layers, bidirectional=bidirectional, dropout=dropout)
    layer = LAYERS[kind](features, D, layers, bidirectional=bidirectional, dropout=dropout)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.normal_(std=0.5)
        for index in range(len(stack.cells)):
            suffix, own = as_torchs(kind, stack, index)
            second = torch.randn(len(own["b"]))
            if kind == "gru":
                second[2 * D :] = 0
            layer.get_parameter(f"weight_ih_{suffix}").copy_(own["x"])
            layer.get_parameter(f"weight_hh_{suffix}").copy_(own["h"])
            layer.get_parameter(f"bias_ih_{suffix}").copy_(own["b"] - second)
            layer.get_parameter(f"bias_hh_{suffix}").copy_(second)
    return stack, layer


def random_state(kind, count):
    states = tuple(torch.randn(count, B, D) for _ in range(2 if kind == "lstm" else 1))
    return states if kind == "lstm" else states[0]


def close(ours, theirs, tolerance=1e-5):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("given", [False, True], ids=["zeros", "state"])
def test_scratch_is_torchs_layer(kind, layers, bidirectional, given):
    stack, layer = pair(kind, 6, layers=layers, bidirectional=bidirectional)
    x = torch.randn(T, B, 6)
    state = random_state(kind, len(stack.cells)) if given else None
    ours, end = stack(x, state)
    theirs, their_end = layer(x, state)
    close(ours, theirs)
    assert isinstance(end, tuple) == isinstance(their_end, tuple)
    for one, other in zip(parts(end), parts(their_end), strict=True):
        close(one, other)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_scratch_has_the_gradients_of_torchs_layer(kind, bidirectional):
    stack, layer = pair(kind, 6, layers=2, bidirectional=bidirectional)
    x, goal = torch.randn(T, B, 6), torch.randn(T, B, D * stack.directions)
    for one in (stack, layer):
        (one(x)[0] * goal).sum().backward()
    for index, cell in enumerate(stack.cells):
        for parameter in cell.parameters():
            parameter.data = parameter.grad  # so that ``as_torchs`` arranges the gradients
        suffix, own = as_torchs(kind, stack, index)
        close(own["x"], layer.get_parameter(f"weight_ih_{suffix}").grad, 1e-4)
        close(own["h"], layer.get_parameter(f"weight_hh_{suffix}").grad, 1e-4)
        close(own["b"], layer.get_parameter(f"bias_ih_{suffix}").grad, 1e-4)


def test_scratch_takes_tokens_for_one_hot_vectors(kind):
    stack, layer = pair(kind, V, layers=2, bidirectional=True)
    ids = tokens().T
    close(stack(ids)[0], layer(F.one_hot(ids, V).float())[0])


def test_scratch_drops_what_torchs_layer_drops(kind):
    stack, layer = pair(kind, 6, layers=3, dropout=0.5)
    x = torch.randn(T, B, 6)
    torch.manual_seed(3)
    ours, _ = stack(x)
    torch.manual_seed(3)
    theirs, _ = layer(x)
    close(ours, theirs)
    assert not torch.allclose(ours, stack.eval()(x)[0], atol=1e-3)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_state_carried_over_two_halves_is_one_pass(kind, impl, layers):
    network = model(kind, impl=impl, layers=layers)
    whole, end = network(tokens())
    first, state = network(tokens()[:, :3])
    second, last = network(tokens()[:, 3:], state)
    close(torch.cat((first, second), dim=1), whole, 1e-6)
    for one, other in zip(parts(last), parts(end), strict=True):
        close(one, other, 1e-6)


def test_rows_of_a_batch_know_nothing_of_each_other(kind, impl):
    network = model(kind, impl=impl, layers=2)
    close(network(tokens())[0][1:2], network(tokens()[1:2])[0], 1e-6)


def test_no_token_sees_what_is_behind_it(kind, impl):
    network, other = model(kind, impl=impl, layers=2), tokens()
    other[:, 4:] = (other[:, 4:] + 1) % V
    assert torch.equal(network(tokens())[0][:, :4], network(other)[0][:, :4])


def test_both_directions_see_all(kind, impl):
    network, other = model(kind, impl=impl, bidirectional=True), tokens()
    other[:, -1] = (other[:, -1] + 1) % V
    assert (network(tokens())[0][:, 0] != network(other)[0][:, 0]).any(dim=1).all()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_language_model_is_one_hot_layer_and_head(kind, bidirectional):
    network = model(kind, bidirectional=bidirectional)
    outputs, end = network.layer(F.one_hot(tokens().T, V).float())
    logits, state = network(tokens())
    close(logits, F.linear(outputs, network.head.weight, network.head.bias).transpose(0, 1), 1e-6)
    assert all(torch.equal(one, other) for one, other in zip(parts(state), parts(end), strict=True))
    assert logits.shape == (B, T, V)


def test_the_language_model_with_an_embedding(kind, impl):
    network = model(kind, impl=impl, embedding=6)
    outputs, _ = network.layer(network.read[0].weight[tokens().T])
    close(network(tokens())[0], network.head(outputs).transpose(0, 1), 1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_tied_weights_are_one_tensor(kind, impl, bidirectional):
    width = D * (1 + bidirectional)
    network = model(kind, impl=impl, embedding=width, tied=True, bidirectional=bidirectional)
    assert network.read[0].weight is network.head.weight
    free = model(kind, impl=impl, embedding=width, bidirectional=bidirectional)
    sizes = [sum(parameter.numel() for parameter in one.parameters()) for one in (network, free)]
    assert sizes[0] == sizes[1] - V * width
    network(tokens())[0].sum().backward()
    assert network.head.weight.grad is not None


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"tied": True}, "none"),
        ({"tied": True, "embedding": D + 1}, str(D + 1)),
        ({"tied": True, "embedding": D, "bidirectional": True}, f"{2 * D}; got {D}"),
        ({"inputs": (1, 6, 5), "embedding": D}, "images"),
        ({"inputs": (1, 6, 5), "tied": True}, "images"),
        ({"inputs": (6,), "embedding": D}, "series"),
    ],
)
def test_arguments_that_contradict_each_other(kind, arguments, words):
    with pytest.raises(ValueError, match=words):
        model(kind, **arguments)


def test_torchs_layer_begins_as_torch_makes_it(kind):
    network = fresh(kind, layers=2)
    torch.manual_seed(0)
    layer, head = LAYERS[kind](V, D, 2), nn.Linear(D, V)
    own, theirs = network.parameters(), [*layer.parameters(), *head.parameters()]
    assert all(torch.equal(one, other) for one, other in zip(own, theirs, strict=True))


def test_scratch_begins_as_the_book_does(kind):
    network = fresh(kind, impl="scratch", hidden=100)
    matrices = torch.cat([one.detach().flatten() for one in network.parameters() if one.dim() == 2])
    assert matrices.std().item() == pytest.approx(0.01, rel=0.04)
    assert abs(matrices.mean().item()) < 0.0004
    assert matrices.abs().max() > 0.03  # normal, not uniform
    assert all(not one.any() for one in network.parameters() if one.dim() == 1)
    assert len(network.state_dict()) == 3 * len(GATES[kind]) + 2


@pytest.mark.parametrize("arguments", [{}, {"embedding": 6}, {"layers": 2}, {"inputs": (1, 6, 5)}], ids=str)
def test_dropout_acts_in_training_only(kind, impl, arguments):
    network = model(kind, impl=impl, dropout=0.5, hidden=32, **arguments)
    x = torch.rand(B, 1, 6, 5) if "inputs" in arguments else tokens()
    first, second = (parts(network(x))[0] for _ in range(2))
    assert not torch.equal(first, second)
    network.eval()
    assert torch.equal(parts(network(x))[0], parts(network(x))[0])


def test_dropout_on_the_way_in_and_out(kind):
    network = model(kind, embedding=64, dropout=0.25)
    torch.manual_seed(4)
    zeros = (network.read(tokens().T) == 0).float().mean()
    assert zeros.item() == pytest.approx(0.25, abs=0.06)
    assert network.dropout.p == 0.25


@pytest.mark.parametrize("layers, acts", [(1, False), (2, True), (3, True)])
def test_dropout_acts_between_the_layers(kind, impl, layers, acts):
    layer = model(kind, impl=impl, dropout=0.25, hidden=32, layers=layers).layer
    x = torch.rand(T, B, V)
    assert torch.equal(layer(x)[0], layer(x)[0]) != acts
    assert getattr(layer.dropout, "p", layer.dropout) == (0.25 if acts or impl == "scratch" else 0)
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_one_hot():
    ids = torch.tensor([[0, 4], [2, 2], [1, 3]])
    assert torch.equal(OneHot(V)(ids), F.one_hot(ids, V).float())


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("inputs", [(1, 28, 28), (3, 6, 5)])
def test_images_become_logits(kind, impl, inputs, layers, bidirectional):
    network = model(kind, impl=impl, inputs=inputs, classes=10, layers=layers, bidirectional=bidirectional)
    assert network(torch.rand(B, *inputs)).shape == (B, 10)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_row_of_pixels_is_a_time_step(kind, layers):
    network, images = model(kind, inputs=(3, 6, 5), layers=layers), torch.rand(B, 3, 6, 5)
    state = None
    for row in range(6):
        pixels = torch.stack([images[at, :, row].reshape(15) for at in range(B)])  # channel after channel
        outputs, state = network.layer(pixels.unsqueeze(0), state)
    close(network(images), network.head(outputs[0]), 1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_value_of_a_window_is_a_time_step(kind, impl, layers):
    network, windows = model(kind, impl=impl, inputs=(6,), classes=1, layers=layers), torch.rand(B, 6)
    state = None
    for step in range(6):
        outputs, state = network.layer(windows[:, step].reshape(1, B, 1), state)
    close(network(windows), network.head(outputs[0]), 1e-6)
    assert network(windows).shape == (B, 1)


def test_both_directions_have_read_every_row(kind, impl):
    network = model(kind, impl=impl, inputs=(1, 6, 5), bidirectional=True)
    for half in (slice(0, D), slice(D, 2 * D)):
        images = torch.rand(1, 1, 6, 5, requires_grad=True)
        last = []
        hook = network.head.register_forward_pre_hook(lambda _, given, last=last: last.append(given[0]))
        network(images)
        hook.remove()
        last[0][:, half].sum().backward()
        assert images.grad.abs().sum(dim=(0, 1, 3)).gt(0).all()
