"""The Transformer against torch's own layers, and its decoding against its training pass."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from d2lrun.models import transformer
from d2lrun.models.inputs import Pairs, Sequences, Stream
from d2lrun.text.vocabulary import BOS, PAD

BOOK = {"width": 32, "layers": 2, "heads": 4, "feedforward": 64, "dropout": 0.1, "norm": "post", "impl": "torch"}
BOTH = pytest.mark.parametrize("impl", ["torch", "scratch"])
NORMS = pytest.mark.parametrize("norm", ["post", "pre"])


def pairs(position="own", vocabulary=20, classes=15, **changes):
    torch.manual_seed(1)
    arguments = {**BOOK, "context": 64, "position": position, **changes}
    return transformer.build(inputs=Pairs(vocabulary), classes=classes, **arguments).eval()


def stream(context=8, steps=4, **changes):
    torch.manual_seed(1)
    arguments = {**BOOK, "context": context, "position": "own", **changes}
    return transformer.build(inputs=Stream(steps), classes=11, **arguments).eval()


def source():
    return torch.tensor([[5, 6, 7, 8], [9, 3, PAD, PAD]])


def target():
    return torch.tensor([[BOS, 4, 5], [BOS, 7, 8]])


def test_the_parameters_are_those_of_the_book():
    model = pairs(vocabulary=184, classes=201)
    assert sum(each.numel() for each in model.parameters()) == 60_937
    assert [sum(each.numel() for each in blocks[0].parameters()) for blocks in (model.encoder, model.decoder)] == [
        8_416,
        12_576,
    ]


def weights_for(block, torchs, crosses):
    """Load the weights of a block into a layer of torch, whose biases of attention are 0."""
    parts = {"self_attn": block.attention.layer} | ({"multihead_attn": block.cross.layer} if crosses else {})
    for name, attention in parts.items():
        layer = getattr(torchs, name)
        layer.in_proj_weight.data = torch.cat([each.weight for each in (attention.W_q, attention.W_k, attention.W_v)])
        layer.out_proj.weight.data = attention.W_o.weight.data
        nn.init.zeros_(layer.in_proj_bias)
        nn.init.zeros_(layer.out_proj.bias)
    dense = block.feedforward.layer
    torchs.linear1.load_state_dict(dense[0].state_dict())
    torchs.linear2.load_state_dict(dense[2].state_dict())
    return torchs.eval()


@BOTH
@NORMS
def test_an_encoder_block_is_torchs(impl, norm):
    block = pairs(impl=impl, norm=norm).encoder[0]
    layer = nn.TransformerEncoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=norm == "pre")
    x, hidden = torch.randn(2, 4, 32), source() == PAD
    wanted = weights_for(block, layer, crosses=False)(x, src_key_padding_mask=hidden)
    torch.testing.assert_close(block(x, ~hidden.unsqueeze(1))[~hidden], wanted[~hidden])


@BOTH
@NORMS
def test_a_decoder_block_is_torchs(impl, norm):
    block = pairs(impl=impl, norm=norm).decoder[0]
    layer = nn.TransformerDecoderLayer(32, 4, 64, 0.1, batch_first=True, norm_first=norm == "pre")
    x, memory, hidden = torch.randn(2, 3, 32), torch.randn(2, 4, 32), source() == PAD
    ahead = torch.ones(3, 3, dtype=torch.bool).triu(1)
    wanted = weights_for(block, layer, crosses=True)(x, memory, ahead, memory_key_padding_mask=hidden)
    torch.testing.assert_close(block(x, ~ahead.unsqueeze(0), memory, ~hidden.unsqueeze(1)), wanted)


@BOTH
@NORMS
def test_a_pair_does_not_depend_on_padding(impl, norm):
    model = pairs(impl=impl, norm=norm)
    together = model(source(), target())
    torch.testing.assert_close(together[1:], model(source()[1:, :2], target()[1:]))


def decoded(model):
    """The logits [B, T, K] of each step, when it is given the tokens of the target one by one."""
    state, steps = model.start(source()), []
    for tokens in target().T:
        logits, state = model.step(tokens, state)
        steps.append(logits)
    return torch.stack(steps, dim=1), state


@BOTH
@NORMS
def test_decoding_step_by_step_gives_the_logits_of_training(impl, norm):
    model = pairs(impl=impl, norm=norm)
    torch.testing.assert_close(decoded(model)[0], model(source(), target()))


def test_the_books_decoding_gives_each_token_position_0():
    model = pairs(position="first")
    found, wanted = decoded(model)[0], model(source(), target())
    torch.testing.assert_close(found[:, 0], wanted[:, 0])
    assert not torch.allclose(found[:, 1], wanted[:, 1], atol=1e-3)


def test_the_attention_to_the_source_is_kept_and_leaves_padding_out():
    model = pairs()
    weights = model.weights(decoded(model)[1])
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))
    assert weights[1, 2:].tolist() == [0.0, 0.0]


def test_a_selected_state_continues_like_its_sequences():
    model = pairs()
    state = decoded(model)[1]
    index, tokens = torch.tensor([1, 0, 1]), torch.tensor([4, 6])
    wanted = model.step(tokens, state)[0][index]
    torch.testing.assert_close(model.step(tokens[index], model.select(state, index))[0], wanted)


@BOTH
def test_a_token_sees_nothing_after_itself(impl):
    model, tokens = stream(impl=impl), torch.tensor([[1, 2, 3, 4]])
    other = tokens.clone()
    other[0, 2] = 9
    one, two = model(tokens)[0], model(other)[0]
    torch.testing.assert_close(one[:, :2], two[:, :2])
    assert (one[:, 2:] != two[:, 2:]).any(dim=2).all()


@pytest.mark.parametrize("window", [1, 2, 4, 8])
def test_windows_with_their_state_are_one_text(window):
    """As long as all of it fits into the context."""
    model, tokens = stream(), torch.randint(11, (2, 8), generator=torch.Generator().manual_seed(3))
    state, found = None, []
    for part in tokens.split(window, dim=1):
        logits, state = model(part, state)
        found.append(logits)
    torch.testing.assert_close(torch.cat(found, dim=1), model(tokens)[0])


def test_the_state_is_the_last_tokens_that_fit():
    model, tokens = stream(context=6), torch.arange(10).unsqueeze(0)
    state = None
    for part in tokens.split(4, dim=1):
        before = state
        logits, state = model(part, state)
    assert before.tolist() == [[2, 3, 4, 5, 6, 7]] and state.tolist() == [[4, 5, 6, 7, 8, 9]]
    torch.testing.assert_close(logits, model(tokens[:, 4:])[0][:, -2:])


def test_a_window_longer_than_the_context_is_refused():
    with pytest.raises(ValueError, match=r"context=3: wanted at least dataset\.steps=4"):
        stream(context=3)


def test_other_inputs_are_refused():
    with pytest.raises(ValueError, match="pairs of sequences, or a stream"):
        transformer.build(inputs=Sequences(5), classes=2, context=8, position="own", **BOOK)
