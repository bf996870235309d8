from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.datasets import linear
from d2lrun.tasks.classification.images import ImagePart
from d2lrun.tasks.language_model.corpus import Vocabulary
from d2lrun.tasks.language_model.stream import TextDataset, TextPart
from d2lrun.tasks.regression.table import TablePart
from d2lrun.training.task import Classification, LanguageModel, Regression, detached, task_of

TASK = Classification(10)


def batch(size, classes, seed):
    numbers = np.random.default_rng(seed)
    return numbers.normal(scale=3, size=(size, classes)), numbers.integers(classes, size=size)


def tensors(logits, labels):
    return torch.from_numpy(logits), torch.from_numpy(labels)


batches = st.builds(batch, st.integers(1, 9), st.integers(2, 12), st.integers(0, 10**6))


@given(batches)
def test_the_loss_is_the_mean_negative_log_probability(batch):
    logits, labels = batch
    each = [math.log(np.exp(row).sum()) - row[label] for row, label in zip(logits, labels)]
    assert TASK.loss(*tensors(logits, labels)).item() == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-12)


@given(batches)
def test_counted_are_the_summed_loss_and_the_hits(batch):
    logits, labels = batch
    total, correct = TASK.count(*tensors(logits, labels), torch.tensor(0.75, dtype=torch.float64)).tolist()
    assert total == 0.75 * len(labels)
    assert correct == sum(max(range(len(row)), key=row.__getitem__) == label for row, label in zip(logits, labels))


def test_equal_logits_cost_the_logarithm_of_their_number():
    assert TASK.loss(torch.zeros(3, 10), torch.tensor([0, 5, 9])).item() == pytest.approx(math.log(10))


def records(*accuracies):
    return [{"epoch": epoch, "train_accuracy": accuracy} for epoch, accuracy in enumerate(accuracies, start=1)]


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_before_its_third_epoch_no_run_is_dead(epochs):
    assert not TASK.dead(records(*[0.1] * epochs))


@pytest.mark.parametrize(
    "accuracies, dead",
    [
        ([0.1, 0.1, 0.1], True),
        ([0.1, 0.1, 0.1269], True),  # no more than 3 % of the way from chance to all right: 0.1 + 0.03 * 0.9
        ([0.1, 0.1, 0.1271], False),
        ([0.1, 0.1, 0.68], False),  # LeNet (book 6.6)
        ([0.3, 0.2, 0.1], True),  # what it could before does not count
        ([0.1, 0.1, 0.1, 0.1, 0.5], False),
        ([0.5, 0.6, 0.7, 0.8, 0.1], True),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_dead_is_a_run_at_chance_after_its_third_epoch_or_later(accuracies, dead):
    assert TASK.dead(records(*accuracies)) == dead


@given(st.integers(2, 1000), st.floats(0, 1))
def test_chance_is_one_class_among_all(classes, accuracy):
    way = (accuracy - 1 / classes) / (1 - 1 / classes)
    if abs(way - 0.03) > 1e-6:
        assert Classification(classes).dead(records(0, 0, accuracy)) == (way < 0.03)


def test_a_run_whose_accuracy_is_none_is_not_called_dead():
    """It has diverged, which is said elsewhere."""
    assert not TASK.dead(records(0.1, 0.1, math.nan))


# --- language models ---------------------------------------------------------------------------------------------


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
    loss = LanguageModel(carries=True).loss(*tensors(logits, tokens)).item()
    assert loss == pytest.approx(sum(each) / len(each), rel=1e-9, abs=1e-12)


@given(st.lists(texts, min_size=1, max_size=4))
def test_the_perplexity_is_e_to_the_summed_loss_by_the_number_of_tokens(batches):
    """Of all batches together, however large each is: not a mean of their perplexities."""
    task, sums, units, total = LanguageModel(carries=True), torch.zeros(1, dtype=torch.float64), 0, 0.0
    for logits, tokens in batches:
        given = tensors(logits, tokens)
        sums += task.count(*given, task.loss(*given))
        units += tokens.size
        log_probabilities = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
        total -= np.take_along_axis(log_probabilities, tokens[..., None], axis=2).sum()
    measured = task.measures("val", sums, units)
    assert list(measured) == ["val_loss", "val_perplexity"]
    assert measured["val_perplexity"] == pytest.approx(math.exp(total / units), rel=1e-9)


def test_a_loss_too_high_for_a_float_has_a_perplexity_all_the_same():
    measured = LanguageModel(carries=False).measures("train", torch.tensor([1e6]), 2)
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
    model, task, tokens = Recurrent(parts), LanguageModel(carries=True), torch.tensor([[1, 2], [3, 4]])
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
    task = task_of(TextDataset("t", vocabulary, torch.zeros(9), "here", "char", "none", sampling=sampling), None)
    assert isinstance(task, LanguageModel) and task.carries == carries


def test_images_are_classified(stripes):
    task = task_of(stripes, None)
    assert isinstance(task, Classification) and task.classes == 10


# --- regression --------------------------------------------------------------------------------------------------


def prices(size, seed):
    """Predictions, some of them negative, and true ones [B, 1]."""
    numbers = np.random.default_rng(seed)
    return numbers.normal(2e5, 2e5, size=(size, 1)), numbers.uniform(3e4, 8e5, size=(size, 1))


sales = st.builds(prices, st.integers(1, 9), st.integers(0, 10**6))


@given(st.lists(sales, min_size=1, max_size=4))
def test_the_errors_of_all_batches_are_averaged_together_however_large_each_is(batches):
    task, sums, units, squares, logs = Regression(logarithmic=True), torch.zeros(2, dtype=torch.float64), 0, [], []
    for predicted, true in batches:
        given = tensors(predicted, true)
        sums += task.count(*given, task.loss(*given))
        units += len(true)
        squares += [(one - other) ** 2 for one, other in zip(predicted[:, 0], true[:, 0], strict=True)]
        logs += [(math.log(max(one, 1)) - math.log(other)) ** 2 for one, other in zip(predicted[:, 0], true[:, 0])]
    measured = task.measures("val", sums, units)
    assert list(measured) == ["val_loss", "val_log_rmse"]
    assert measured["val_loss"] == pytest.approx(sum(squares) / units, rel=1e-9)
    assert measured["val_log_rmse"] == pytest.approx(math.sqrt(sum(logs) / units), rel=1e-9)


def test_without_logarithms_there_is_the_loss_alone():
    task = Regression(logarithmic=False)
    counted = task.count(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [-1.0]]), torch.tensor(5.0))
    assert counted.tolist() == [10.0] and task.counts == 1
    assert task.measures("train", counted, 2) == {"train_loss": 5.0}


def test_only_a_linear_model_has_a_norm():
    model = torch.nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -4.0]]))
        model.bias.fill_(100.0)
    task = Regression(logarithmic=False)
    assert task.weigh(model) == {"weight_norm": 5.0}
    assert task.weigh(torch.nn.Sequential(model)) == {}


def test_a_table_is_regressed_on():
    data = linear.load(inputs=2, weights=[1.0], bias=0.0, n_train=3, n_test=3, noise=0.0, seed=1)
    task = task_of(data, None)
    assert isinstance(task, Regression) and task.counts == 1 and not task.dead([])


# --- the best constant prediction ------------------------------------------------------------------------------------


def labelled(labels):
    """The images 1, 2, … of a dataset, with these labels; its image 0 belongs to no part."""
    labels = torch.tensor([0, *labels])
    return ImagePart(None, torch.zeros(len(labels), 1, 1, 1, dtype=torch.uint8), labels, torch.arange(1, len(labels)))


def numbered(targets):
    """The rows 1, 2, … of a table, with these targets; its row 0 belongs to no part."""
    targets = torch.tensor([1e6, *targets], dtype=torch.float32)[:, None]
    return TablePart(None, torch.zeros(len(targets), 1), targets, torch.arange(1, len(targets)))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_the_floor_of_a_classification_is_always_the_commonest_class(train, val):
    floor = Classification(4).floor(None, labelled(train), labelled(val))
    commonest = min(label for label in set(train) if train.count(label) == max(map(train.count, train)))
    assert floor == pytest.approx(max(0.25, val.count(commonest) / len(val)))
    own = Classification(4).floor(None, labelled(train), labelled(train))
    assert all(own >= train.count(label) / len(train) for label in range(4))


numbers = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20)


@given(numbers, numbers, st.floats(-100, 100))
def test_the_floor_of_a_regression_is_the_mean_of_the_training_targets(train, val, constant):
    task = Regression(logarithmic=False)
    floor, own = (task.floor(None, numbered(train), numbered(part)) for part in (val, train))
    assert floor == pytest.approx(np.mean((np.array(val) - np.mean(train)) ** 2), rel=1e-5, abs=1e-3)
    assert own <= np.mean((np.array(train) - constant) ** 2) + 1e-3  # no other constant is better where it is fitted


def test_the_floor_of_a_text_is_its_unigrams():
    train, val = (TextPart(torch.tensor(tokens), 1, "sequential") for tokens in ([0, 0, 0, 1], [0, 1, 2]))
    data = TextDataset("t", Vocabulary(["<unk>", "a", "b", "c"]), train.tokens, "here", "char", "none")
    wanted = (4 / 8 * 2 / 8 * 1 / 8) ** (-1 / 3)  # with one added to each count
    assert LanguageModel(carries=True).floor(data, train, val) == pytest.approx(wanted)


@pytest.mark.parametrize(
    "task, better, worse",
    [
        (Classification(10), (0.6, 0.5), (0.51, 0.5)),  # 3 % of the way is at chance
        (LanguageModel(carries=True), (16.9, 17.0), (17.0, 17.0)),
        (Regression(logarithmic=False), (1.2, 1.3), (2e10, 1.3)),
    ],
)
def test_at_chance_is_what_is_no_better_than_the_floor(task, better, worse):
    assert not task.at_chance(*better)
    assert task.at_chance(*worse)
    assert not task.at_chance(math.nan, worse[1])
