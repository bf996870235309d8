"""The loss of the book and that of a token, sums over batches, and exact matches."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from d2lrun.models.inputs import Pairs
from d2lrun.models.seq2seq import Seq2Seq
from d2lrun.tasks.translation.decode import greedy
from d2lrun.tasks.translation.pairs import build as pairs
from d2lrun.tasks.translation.task import Translating, unmeasured
from d2lrun.text.vocabulary import EOS, PAD
from d2lrun.training.evaluate import evaluate, exhaust

SETTINGS = {"rule": "none", "min_freq": 1, "steps": 6, "batches": "random", "loss": "token", "metric": "exact_match"}
ROWS = [(f"{a}+{b}", str(a + b)) for a in range(6) for b in range(3)]


def dataset(**changes):
    pools = {"test": ROWS[:8], "train": ROWS[8:], "longer": [("10+1", "11")]}
    return pairs("pairs", pools, "here", ("char", "char"), **{**SETTINGS, **changes})


def rows(lengths, seed):
    """Logits [B, 6, 9] and targets [B, 6] with ``lengths``."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(4, 9, (len(lengths), 6), generator=generator)
    inside = torch.arange(6) < torch.tensor(lengths)[:, None]
    return torch.randn(len(lengths), 6, 9, generator=generator, dtype=torch.float64), targets.where(inside, PAD)


batches = st.builds(rows, st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 99))


def total(logits, targets):
    """The summed negative log-likelihood, token by token."""
    places = (targets != PAD).nonzero().tolist()
    return sum(-math.log(logits[n, t].softmax(0)[targets[n, t]]) for n, t in places), len(places)


@given(batches)
def test_the_loss_is_the_mean_over_tokens_without_padding(batch):
    summed, count = total(*batch)
    assert Translating(dataset()).loss(*batch).item() == pytest.approx(summed / count)


@given(batches)
def test_the_books_loss_is_the_mean_over_all_steps_summed_over_pairs(batch):
    """Masked cross-entropy as in book 9.7.2, and a sum."""
    logits, targets = batch
    each = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none") * (targets != PAD)
    task = Translating(dataset(loss="book"))
    assert task.loss(*batch).item() == pytest.approx(each.mean(dim=1).sum().item())


@given(st.lists(batches, min_size=1, max_size=3), st.sampled_from(["token", "book"]))
def test_the_metrics_are_those_of_all_tokens_of_all_batches(given_batches, loss):
    task, sums, summed, units = Translating(dataset(loss=loss, metric="perplexity")), 0.0, 0.0, 0
    for batch in given_batches:
        sums = sums + task.count(*batch, task.loss(*batch))
        more, count = total(*batch)
        summed, units = summed + more, units + count
    found = task.metrics("val", sums, units)
    assert found["val_loss"] == pytest.approx(summed / units)
    assert found["val_perplexity"] == pytest.approx(math.exp(summed / units))
    assert found.get("val_book_loss") == (pytest.approx(summed / units / 6) if loss == "book" else None)


def test_an_unknown_token_is_never_right():
    targets = torch.tensor([[5, 0, EOS], [5, EOS, PAD]])
    logits = F.one_hot(targets, 9).double()
    sums = Translating(dataset()).count(logits, targets, torch.tensor(0.0).double())
    assert sums.tolist() == [0, 4, 1, 2]


def trained(data, attention):
    """A network that has some answers right, and some not."""
    torch.manual_seed(1)
    shape = {"embedding": 8, "hidden": 16, "layers": 1, "bidirectional": False, "dropout": 0.0}
    kind = {"attention": attention, "context": "encoder", "padding": "skip"}
    model = Seq2Seq(inputs=Pairs(*vars(data.inputs).values()), classes=data.outputs, **shape, **kind)
    optimizer, task, part = torch.optim.Adam(model.parameters(), lr=0.02), Translating(data), data.part("train")
    for _ in range(25):
        inputs, targets = part.load(part.index)
        optimizer.zero_grad()
        task.loss(model(*inputs), targets).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("attention", ["none", "additive"])
def test_exact_matches_are_those_of_greedy_search(attention):
    """All targets fit into the steps and have no unknown token."""
    data = dataset()
    model, task, right = trained(data, attention), Translating(data), 0
    for name in ("train", "test"):
        part = data.part(name)
        measured = exhaust(evaluate("val", model, part, task, 3))["val_exact_match"]
        written = greedy(model, part.load(part.index)[0][0], data.steps)
        right = sum(
            data.targets.decoded(found.tokens) == data.targets.sentence(name, number)
            for number, found in enumerate(written)
        )
        assert measured == pytest.approx(right / len(written))
        assert name == "test" or 0 < right < len(written)


def test_a_finished_run_is_measured_by_its_own_translations():
    exact = Translating(dataset())
    model = trained(exact.data, "none")
    assert exact.final_metrics("test", model, exact.data.part("test"), 4).keys() == {"test_longer_exact_match"}
    assert exact.final_metrics("val", model, exact.data.part("test"), 4) == {}
    assert [each.source for each in exact.translations["val"]] == [source for source, _ in ROWS[:8]]
    other = Translating(dataset(metric="perplexity"))
    found = other.final_metrics("test", model, other.data.part("test"), 4)
    assert found.keys() - {"test_bleu"} == {"test_book_bleu"} and ("test_bleu" in found) == (
        unmeasured(other.data) is None
    )
    scores = [each.bleu for each in other.translations["test"]]
    assert found["test_book_bleu"] == pytest.approx(sum(scores) / len(scores))


def test_the_best_constant_is_the_commonest_answer_or_the_frequency_of_tokens():
    data = dataset()
    train, part = data.part("train"), data.part("test")
    answers = [answer for _, answer in ROWS[8:]]
    commonest = max(dict.fromkeys(answers), key=answers.count)
    wanted = [answer for _, answer in ROWS[:8]].count(commonest) / 8
    assert Translating(data).floor(train, part) == wanted
    counts = torch.ones(data.outputs).double()
    for target in answers:
        for token in data.targets.vocabulary.encode(target):
            counts[token] += 1
        counts[EOS] += 1
    tokens = [token for _, answer in ROWS[:8] for token in [*data.targets.vocabulary.encode(answer), EOS]]
    wanted = (-(counts / counts.sum()).log()[tokens].mean()).exp().item()
    assert Translating(dataset(metric="perplexity")).floor(train, part) == pytest.approx(wanted)


def test_losses_of_other_vocabularies_do_not_compare_but_translations_do():
    one, other = (Translating(dataset(min_freq=least)) for least in (1, 3))
    first, second = one.measured_on(one.data.part("test")), other.measured_on(other.data.part("test"))
    assert first["loss"] != second["loss"] and first["bleu"] == second["bleu"]
