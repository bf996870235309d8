"""Networks of texts without recurrence: padding changes no output, and small oracles."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from d2lrun.models.bag_of_words import BagOfWords
from d2lrun.models.inputs import Sequences, Stream
from d2lrun.models.textcnn import TextCNN
from d2lrun.text.vocabulary import PAD

LENGTHS = (7, 1, 4, 9)
V = 20


def cnn(pool="max", kernels=(2, 3, 5), inputs=None, **changes):
    torch.manual_seed(1)
    arguments = {"embedding": 4, "kernels": [*kernels], "channels": 6, "pool": pool, "dropout": 0.5} | changes
    return TextCNN(inputs=inputs or Sequences(V), classes=3, **arguments).eval()


def bag(inputs=None):
    torch.manual_seed(1)
    model = BagOfWords(inputs=inputs or Sequences(V), classes=3)
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    return model


MODELS = {"max": cnn, "avg": lambda: cnn("avg"), "bag": bag}


def sequences():
    generator = torch.Generator().manual_seed(2)
    return [torch.randint(2, V, (length,), generator=generator) for length in LENGTHS]


@pytest.mark.parametrize("more", [0, 6])
@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_no_output(name, more):
    model = MODELS[name]()
    rows = nn.utils.rnn.pad_sequence(sequences(), batch_first=True, padding_value=PAD)
    rows = torch.cat((rows, torch.full((len(rows), more), PAD)), dim=1)
    torch.testing.assert_close(model(rows), torch.cat([model(one[None]) for one in sequences()]))


@pytest.mark.parametrize("pool", ["max", "avg"])
def test_a_text_cnn_is_a_convolution_pooled_over_time(pool):
    model, tokens = cnn(pool, kernels=(3,)), sequences()[0][None]
    features = model.convolutions[0](model.embedding(tokens).transpose(1, 2))  # [1, C, T - 2]
    pooled = features.amax(2) if pool == "max" else features.mean(2)
    torch.testing.assert_close(model(tokens), model.head(F.relu(pooled)))


def test_a_text_cnn_has_the_books_parameters_of_one_embedding():
    """The book's network has two embeddings: convolutions of 200 inputs."""
    model = cnn(kernels=(3, 4, 5), embedding=100, channels=100)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    assert sum(sizes.values()) == V * 100 + (3 + 4 + 5) * 100 * 100 + 300 + 300 * 3 + 3


def test_a_bag_of_words_is_a_linear_function_of_counts():
    model, tokens = bag(), sequences()[0]
    counts = tokens.bincount(minlength=V).float() / len(tokens) ** 0.5
    torch.testing.assert_close(model(tokens[None])[0], counts @ model.weights.weight + model.bias)


def test_a_bag_of_words_does_not_read_the_order():
    model, tokens = bag(), sequences()[0]
    torch.testing.assert_close(model(tokens.flip(0)[None]), model(tokens[None]))


@pytest.mark.parametrize("inputs", [Sequences(V, each=True), Stream(5), (1, 28, 28)])
@pytest.mark.parametrize("make", [cnn, bag])
def test_other_inputs_are_refused(make, inputs):
    with pytest.raises(ValueError, match="whole texts"):
        make(inputs=inputs)
