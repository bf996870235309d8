"""Every network of the table, at the book's input and with its default arguments: it can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from torch.nn import functional as F

from d2lrun import datasets, models
from d2lrun.config.compose import compose
from d2lrun.config.tables import MODELS
from d2lrun.models.inputs import Pairs, Sequences, Stream
from tests.bits import same_bits

# BOOK.md; torchvision's resnet18 has 11,689,512 for 3 channels and 1000 classes.
PARAMETERS = {
    "softmax": 7_850,
    "mlp": 203_530,
    "lenet": 61_706,
    "lenet-bn": 44_878,
    "alexnet": 46_764_746,
    "vgg": 43_093_322,
    "nin": 1_992_166,
    "googlenet": 5_977_530,
    "resnet": 11_178_378,
    "densenet": 758_226,
    "torchvision": 11_689_512 - 2 * 64 * 7 * 7 - 990 * (512 + 1),
    **{"rnn": 80_412, "gru": 226_844, "lstm": 300_060, "ngram": 0},
    **{"linear": 201, "nadaraya-watson": 1, "transformer": 28 * 128 + 3 * 197_760 + 256 + 129 * 28},
    **{"seq2seq": 47_369, "bag-of-words": 28 * 2 + 2, "textcnn": 28 * 100 + 1203 * 100 + 301 * 2},
}
IMAGES = [name for name in MODELS if MODELS[name].inputs[0] == "images"]  # by the book's recipe
TABLES = [name for name in MODELS if MODELS[name].inputs[0] == "table"]
PAIRS = [name for name in MODELS if MODELS[name].inputs[0] == "pairs"]
TEXTS = [name for name in MODELS if "text" in MODELS[name].inputs]
SENTENCES = [name for name in MODELS if MODELS[name].inputs[0] == "sentences"]
ROWS = [name for name in TEXTS if "images" in MODELS[name].inputs]  # read an image row by row
TOKENS = 28  # of the book's vocabulary
SIDES = {"alexnet": 224, "vgg": 224, "nin": 224, "googlenet": 96, "resnet": 96, "densenet": 96, "torchvision": 96}
PICTURES = 6


@dataclass
class Training:
    """What three steps of full-batch descent came to."""

    model: torch.nn.Module
    initial: dict[str, torch.Tensor]  # the weights of all layers before the first step
    gradients: dict[str, torch.Tensor | None]  # of the first step
    losses: list[float]


def configured(name):
    return compose([f"model={name}", *([] if name in (*TABLES, *SENTENCES) else ["dataset.mirrors=[]"])])


def build(name, seed):
    config = configured(name)
    torch.manual_seed(seed)
    if name in PAIRS:
        return models.build(config.model, Pairs(184), 201)  # the book's vocabularies
    if name in SENTENCES:
        return models.build(config.model, Sequences(TOKENS), 2)
    return models.build(config.model, *((Stream(8), TOKENS) if name in TEXTS else datasets.form(config)))


def examples(name):
    """A few images and their labels, rows and their targets, or rows of tokens and what follows each."""
    if name in PAIRS:
        rows = torch.randint(4, 184, (PICTURES, 12), generator=torch.Generator().manual_seed(3))
        return (rows[:, :5], rows[:, 5:-1]), rows[:, 6:]
    if name in SENTENCES:
        rows = torch.randint(4, TOKENS, (PICTURES, 9), generator=torch.Generator().manual_seed(3))
        return rows, torch.arange(PICTURES) % 2
    if name in TEXTS:
        rows = torch.randint(TOKENS, (PICTURES, 9), generator=torch.Generator().manual_seed(3))  # [B, T + 1]
        return rows[:, :-1], rows[:, 1:]
    data = datasets.load(configured(name).dataset)
    if name in TABLES:
        return data.train_features[:PICTURES], data.train_targets[:PICTURES]
    return data.prepared(data.train_images[:PICTURES]), data.train_labels[:PICTURES]


def loss_of(name, model, x, targets):
    if name in TABLES:
        return F.mse_loss(model(x), targets)
    logits = model(*x) if name in PAIRS else model(x)[0] if name in TEXTS else model(x)
    logits = logits.flatten(0, -2)
    return F.cross_entropy(logits, targets.flatten())


@lru_cache(maxsize=1)  # the tests of one network stand together
def train(name, seed=1):
    """A small rate suits every network, since its direction is downhill; each step drops the same units."""
    model, (x, targets) = build(name, seed), examples(name)
    drawn = {
        key: weight for key, weight in model.named_parameters() if key == "w" or (weight.dim() > 1 and weight.any())
    }
    initial = {key: weight.detach().clone() for key, weight in drawn.items()}
    optimizer, losses, gradients = torch.optim.SGD(model.parameters(), lr=0.01), [], {}
    for _ in range(3):
        torch.manual_seed(seed)
        loss = loss_of(name, model, x, targets)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        gradients = gradients or {
            key: None if weight.grad is None else weight.grad.clone() for key, weight in model.named_parameters()
        }
        optimizer.step()
    return Training(model, initial, gradients, losses)


@pytest.fixture(scope="module", params=[name for name in MODELS if name != "ngram"])
def name(request):
    return request.param


@pytest.fixture
def training(name, users_environment):
    return train(name)


def test_every_network_is_seen():
    assert set(MODELS) == set(PARAMETERS) == {*IMAGES, *TEXTS, *TABLES, *PAIRS, *SENTENCES}


def test_parameters_are_those_of_the_book(name, training):
    assert sum(parameter.numel() for parameter in training.model.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", IMAGES)
def test_the_input_is_the_books(name):
    side = SIDES.get(name, 28)
    assert datasets.form(configured(name)) == ((1, side, side), 10)


def test_the_loss_falls_with_every_step(training):
    first, second, third = training.losses
    assert first > second > third


def test_every_parameter_gets_a_gradient(training):
    silent = [key for key, gradient in training.gradients.items() if gradient is None or not gradient.any()]
    assert [key for key in silent if not key.endswith("bias")] == []
    assert all(gradient is not None for gradient in training.gradients.values())  # zero before a normalisation


def test_the_same_seed_gives_the_same_bits(name, training):
    again = train.__wrapped__(name)
    assert again.losses == training.losses
    assert same_bits(again.model.state_dict(), training.model.state_dict())


def test_another_seed_gives_other_weights_everywhere(name, training):
    other = dict(build(name, seed=2).named_parameters())
    assert len(training.initial) > 0 or name == "bag-of-words"  # whose weights begin with 0
    assert not any(torch.equal(other[key], weight) for key, weight in training.initial.items())


def test_the_examples_of_a_batch_do_not_touch_each_other(name, training, users_environment):
    model, x = training.model.eval(), examples(name)[0]
    x = x if name in PAIRS else (x,)
    with torch.no_grad():
        found = (model(*(each[part] for each in x)) for part in (slice(3), slice(1, 2)))
        together, alone = (outputs[0] if name in TEXTS else outputs for outputs in found)
        torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_a_model_that_counts_has_nothing_to_train():
    assert list(build("ngram", seed=1).parameters()) == []


@pytest.mark.parametrize("name", TEXTS)
def test_a_language_model_gives_logits_for_each_step_and_a_state(name):
    model, tokens = build(name, seed=1).eval(), torch.randint(TOKENS, (2, 7))
    if name == "ngram":
        model.fit(torch.randint(TOKENS, (100,)))
    logits, _ = model(tokens)
    assert logits.shape == (2, 7, TOKENS)
    torch.testing.assert_close(model(tokens[:, 3:], model(tokens[:, :3])[1])[0], logits[:, 3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*IMAGES, *ROWS])
@pytest.mark.parametrize("channels, classes", [(1, 10), (3, 7)])
def test_the_shape_of_the_output(name, channels, classes):
    config, side = configured(name), SIDES.get(name, 28)
    with torch.device("meta"):
        model = models.build(config.model, (channels, side, side), classes)
        assert model(torch.empty(2, channels, side, side)).shape == (2, classes)
