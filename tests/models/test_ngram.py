from __future__ import annotations

import math
from collections import Counter
from pydoc_data.topics import topics

import pytest
import torch

from d2lrun.models.inputs import Stream
from d2lrun.models.ngram import NGram

V = 6
SMOOTHINGS = ("laplace", "witten-bell", "kneser-ney")


@pytest.fixture(params=SMOOTHINGS)
def smoothing(request):
    return request.param


def stream(count=300, seed=0, classes=V):
    """Skewed, so that some n-grams come often and most never; token 0 never occurs."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(count, generator=generator) ** 3 * (classes - 1) + 1
    draws[1::3] = draws[0::3][: len(draws[1::3])]  # and with some order in it
    return draws.long()


def fitted(smoothing, order, strength=(1.0,), tokens=None, classes=V):
    model = NGram(inputs=Stream(35), classes=classes, order=order, smoothing=smoothing, strength=list(strength))
    return model.fit(stream() if tokens is None else tokens)


class Reference:
    """The same models over dictionaries of tuples, one probability at a time."""

    def __init__(self, tokens, smoothing, order, strength, classes=V):
        self.smoothing, self.order, self.strength, self.classes = smoothing, order, strength * order, classes
        self.counts = {
            n: Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)) for n in range(1, order + 1)
        }
        if smoothing == "kneser-ney":
            places = {n: Counter(gram[1:] for gram in self.counts[n + 1]) for n in range(1, order)}
            self.counts = {n: places.get(n, self.counts[n]) for n in range(1, order + 1)}

    def discounts(self, n):
        many = Counter(self.counts[n].values())
        if not (many[1] and many[2] and many[3]):
            return {1: 0.75, 2: 0.75, 3: 0.75}
        y = many[1] / (many[1] + 2 * many[2])
        found = {k: k - (k + 1) * y * many[k + 1] / many[k] for k in (1, 2, 3)}
        return {k: d if 0 < d < k else 0.75 for k, d in found.items()}

    def probability(self, token, context):
        """Of a token behind exactly the tokens ``context``."""
        n, s = len(context) + 1, self.strength[len(context)]
        following = {w: self.counts[n][(*context, w)] for w in range(self.classes) if self.counts[n][(*context, w)]}
        shorter = context[1:] if self.smoothing != "laplace" else ()
        lower = 1 / self.classes if n == 1 else self.probability(token, shorter)
        if not following:
            return lower
        count, total = following.get(token, 0), sum(following.values())
        if self.smoothing == "laplace":
            return (count + s * lower) / (total + s)
        if self.smoothing == "witten-bell":
            return (count + s * len(following) * lower) / (total + s * len(following))
        d = {k: min(k, s * value) for k, value in self.discounts(n).items()}
        taken = sum(d[min(k, 3)] for k in following.values())
        return (max(count - d[min(count, 3)], 0) if count else 0) / total + taken / total * lower

    def behind(self, history):
        """All probabilities behind a history, of which the last order−1 tokens count."""
        context = tuple(history[len(history) - self.order + 1 :])
        return [self.probability(token, context) for token in range(self.classes)]


@pytest.mark.parametrize("order", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_every_probability_is_that_of_a_slow_reference(smoothing, order, factor):
    strength = [factor * (1 + 0.1 * n) for n in range(order)]
    model = fitted(smoothing, order, strength)
    reference = Reference(stream().tolist(), smoothing, order, strength)
    held_out = stream(25, seed=1).tolist()
    for at in range(order - 1, len(held_out)):
        expected = torch.tensor(reference.behind(held_out[:at]), dtype=torch.float64)
        torch.testing.assert_close(model.next_distribution(torch.tensor(held_out[:at])), expected)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("classes", [2, 7, 5_000])
def test_the_probabilities_of_the_whole_vocabulary_sum_to_one(smoothing, order, classes):
    tokens = stream(classes=classes)
    model = fitted(smoothing, order, tokens=tokens, classes=classes)
    last = tokens[-5:]  # its longest contexts were seen, but nothing behind them
    for history in (tokens[:0], tokens[:1], tokens[:40], last, torch.zeros(5, dtype=torch.int64)):
        chances = model.next_distribution(history)
        assert chances.shape == (classes,)
        assert chances.min() > 0
        assert chances.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("tokens", [[1] * 9, [0, 1, 2, 3, 4, 5], [1, 2] * 20], ids=["same", "different", "in turns"])
@pytest.mark.parametrize("order", [1, 2, 6])
def test_texts_that_are_too_regular_for_estimates(smoothing, order, tokens):
    model = fitted(smoothing, order, tokens=torch.tensor(tokens))
    chances = model.next_distribution(torch.tensor(tokens))
    assert chances.min() > 0
    assert chances.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_log_probabilities_of_a_stream_are_those_of_its_tokens_one_by_one(smoothing, order):
    model, held_out = fitted(smoothing, order), stream(50, seed=2)
    single = [model.next_distribution(held_out[:at])[token].log() for at, token in enumerate(held_out.tolist())]
    torch.testing.assert_close(model.log_probabilities(held_out), torch.stack(single))


@pytest.mark.parametrize("order", [1, 2, 5])
def test_the_logits_are_the_log_probabilities(smoothing, order):
    model, rows = fitted(smoothing, order), stream(60, seed=3).view(3, 20)
    logits, _ = model(rows)
    assert logits.shape == (3, 20, V)
    for row, history in zip(logits, rows, strict=True):
        for at in range(20):
            torch.testing.assert_close(row[at].double().exp(), model.next_distribution(history[: at + 1]))


@pytest.mark.parametrize("order", [1, 2, 5])
def test_a_state_carried_over_parts_is_one_pass(smoothing, order):
    model, rows, state, logits = fitted(smoothing, order), stream(60, seed=3).view(3, 20), None, []
    for part in rows.split([1, 2, 9, 8], dim=1):
        one, state = model(part, state)
        logits.append(one)
    whole, end = model(rows)
    assert torch.equal(torch.cat(logits, dim=1), whole)
    assert torch.equal(state, end)
    assert state.shape == (3, order - 1)


def test_the_books_formula_by_hand():
    # a b a b a c: n = 6, n(a) = 3, followed by b twice and by c once; with ε of 1, 2, 3 and a vocabulary of 4
    model = fitted("laplace", 3, (1.0, 2.0, 3.0), torch.tensor([1, 2, 1, 2, 1, 3]), classes=4)
    b, c = (2 + 1 / 4) / 7, (1 + 1 / 4) / 7
    assert model.next_distribution(torch.tensor([]))[2].item() == pytest.approx(b)
    after_ba = model.next_distribution(torch.tensor([2, 1]))  # once b, once c
    assert after_ba[2].item() == pytest.approx((1 + 3 * b) / (2 + 3))
    assert after_ba[3].item() == pytest.approx((1 + 3 * c) / (2 + 3))
    bigram = fitted("laplace", 2, (1.0, 2.0), torch.tensor([1, 2, 1, 2, 1, 3]), classes=4)
    assert bigram.next_distribution(torch.tensor([1]))[2].item() == pytest.approx((2 + 2 * b) / (3 + 2))


def test_kneser_ney_asks_in_how_many_places_a_token_stands():
    # 4 comes most often, but always behind 3; 1 comes behind many
    tokens = torch.tensor([3, 4] * 30 + [1, 2, 1, 5, 1, 0, 1, 3, 1, 1, 2] * 3)
    chances = fitted("kneser-ney", 2, tokens=tokens).next_distribution(torch.tensor([]))
    counted = fitted("witten-bell", 2, tokens=tokens).next_distribution(torch.tensor([]))
    assert chances[1] > chances[4]
    assert counted[1] < counted[4]


def test_the_number_of_different_grams():
    tokens = stream()
    words = tokens.tolist()
    expected = [len({tuple(words[at : at + n]) for at in range(len(words) - n + 1)}) for n in range(1, 5)]
    assert fitted("witten-bell", 4, tokens=tokens).sizes == expected


def test_what_was_counted_can_be_saved_and_loaded(smoothing):
    model = fitted(smoothing, 4)
    other = NGram(inputs=Stream(35), classes=V, order=4, smoothing=smoothing, strength=[1.0])
    other.load_state_dict(model.state_dict())
    assert list(model.state_dict()) == ["stream"]
    assert torch.equal(other(stream(40, seed=5)[None])[0], model(stream(40, seed=5)[None])[0])


def test_fitting_again_forgets(smoothing):
    model = fitted(smoothing, 3).fit(stream(seed=9))
    assert torch.equal(model(stream(40)[None])[0], fitted(smoothing, 3, tokens=stream(seed=9))(stream(40)[None])[0])


def test_a_long_gram_over_a_large_vocabulary_has_a_number():
    tokens = torch.randint(100_000, (2_000,), generator=torch.Generator().manual_seed(0))  # 100,000^6 > 2^63
    model = fitted("witten-bell", 6, tokens=tokens, classes=100_000)
    assert model.next_distribution(tokens[95:100]).argmax() == tokens[100]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8])
def test_tokens_of_any_width(smoothing, dtype):
    model = fitted(smoothing, 3, tokens=stream().to(dtype))
    assert torch.equal(
        model.log_probabilities(stream(seed=1).to(dtype)), fitted(smoothing, 3).log_probabilities(stream(seed=1))
    )


def letters():
    """English prose that every Python carries, 27 tokens."""
    text = "".join(char if char.isalpha() and char.isascii() else " " for char in "".join(topics.values()).lower())
    text = " ".join(text.split())[:60_000]
    return torch.tensor([0 if char == " " else ord(char) - 96 for char in text])


def test_longer_memory_and_better_smoothing_show_on_unseen_text():
    tokens = letters()
    train, held_out = tokens[:54_000], tokens[54_000:]

    def perplexity(smoothing, order):
        model = fitted(smoothing, order, tokens=train, classes=27)
        return math.exp(-model.log_probabilities(held_out).mean())

    by_order = [perplexity("kneser-ney", order) for order in range(1, 7)]
    assert by_order == sorted(by_order, reverse=True)
    assert perplexity("kneser-ney", 6) < perplexity("witten-bell", 6) < perplexity("laplace", 6)


@pytest.mark.parametrize(
    "arguments, words",
    [({"inputs": (1, 28, 28)}, "reads nothing else"), ({"strength": [1.0, 2.0]}, "wanted one number or 3")],
)
def test_arguments_that_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        NGram(
            **{"inputs": Stream(35), "classes": V, "order": 3, "smoothing": "laplace", "strength": [1.0], **arguments}
        )


def test_a_text_shorter_than_the_order():
    with pytest.raises(ValueError, match="no gram of 3 in 2 tokens"):
        fitted("laplace", 3, tokens=torch.tensor([1, 2]))
