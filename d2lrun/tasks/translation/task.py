"""Translation: cross-entropy of logits and next target tokens, BLEU and exact matches (book 9.7).

B batch, T target tokens of the longest pair of a batch, K tokens of the target vocabulary.
"""

from __future__ import annotations

from collections import Counter
from math import exp
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.disk.content import fingerprint
from d2lrun.tasks.translation.bleu import INSTALL, has_sacrebleu
from d2lrun.tasks.translation.pairs import PairDataset, PairSubset
from d2lrun.tasks.translation.translate import Reader, Translation, measured, translated
from d2lrun.text.vocabulary import PAD
from d2lrun.training.fit import steps

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split

UNMEASURED = f"BLEU is not measured, sacrebleu is not installed: {INSTALL}"


def build(data: PairDataset, model: Any) -> Translating:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    return Translating(data)


class Translating:
    """Logits [B, T, K] and targets [B, T]: the loss is the mean negative log-likelihood of the tokens, without padding.

    With the dataset's ``loss=book``, training minimises what the book's code does: for each pair the mean over all
    ``steps``, in which padding counts as 0, summed over the batch. ``book_loss`` is what the book prints: the loss
    divided by the number of steps (d2l issue 2076). The reported loss is always that of a token.

    ``exact_match`` is the share of pairs of which each target token is the likeliest, given the right tokens before it.
    In eval mode this is the share that greedy search translates exactly. An unknown token is never right.
    """

    unit, counts, stateful, remeasure_train = "tokens", 4, False, False
    caveat: str | None = None

    def __init__(self, data: PairDataset):
        self.data, self.compared = data, data.metric
        self.exact = data.metric == "exact_match"
        self.constant = "always the most frequent answer" if self.exact else "how often each token occurs"
        self.translations: dict[str, list[Translation]] = {}  # of val and test, once they are measured

    def learn(self, state: State, split: Split[PairSubset], config: Config) -> Course:
        """Learn by the steps of an optimizer."""
        return steps(state, split, self, config)

    def forward(self, model: nn.Module, inputs: tuple[Tensor, Tensor], carry: None) -> tuple[Tensor, None]:
        return model(*inputs), None  # [B, T, K]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum")
        return total / self.divisor(targets)

    def divisor(self, targets: Tensor) -> Tensor | int:
        """Return the number by which training divides the summed loss of the tokens of a batch."""
        if self.data.loss == "book":
            return self.data.steps or 1
        return (targets != PAD).sum()

    def count(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """[summed loss, tokens that are right, pairs that are right, pairs]."""
        there = targets != PAD
        right = (logits.argmax(dim=2) == targets) & there & (targets != 0)
        exact = (right == there).all(dim=1)
        numbers = (loss * self.divisor(targets), right.sum(), exact.sum(), exact.new_ones(len(exact)).sum())
        return torch.stack([number.to(loss.dtype) for number in numbers])

    def metrics(self, name: str, sums: Tensor, units: int, part: PairSubset | None = None) -> dict[str, float]:
        total, right, exact, pairs = sums.tolist()
        loss = total / units
        found = {"loss": loss}
        if self.exact:
            found["exact_match"] = exact / max(1.0, pairs)
        else:
            found["perplexity"] = exp(min(loss, 700.0))  # beyond that exp overflows
        found["token_accuracy"] = right / units
        if self.data.loss == "book" and self.data.steps:
            found["book_loss"] = loss / self.data.steps
        return {f"{name}_{metric}": value for metric, value in found.items()}

    def measured_on(self, part: PairSubset) -> dict[str, str]:
        pairs = part.fingerprint
        tokens = fingerprint(pairs, self.data.targets.vocabulary.fingerprint, str(self.data.steps))
        of_tokens = ("loss", "exact_match" if self.exact else "perplexity", "token_accuracy", "book_loss")
        return dict.fromkeys(of_tokens, tokens) | dict.fromkeys(("bleu", "book_bleu", "longer_exact_match"), pairs)

    def final_metrics(self, name: str, model: nn.Module, part: PairSubset, size: int) -> dict[str, float]:
        """Return BLEU of the greedy translations; of exact answers, for the test set, that of longer questions."""
        reader = reader_of(self.data)
        self.translations[name] = translated(model, reader, part.cases(), size)
        if not self.exact:
            return {f"{name}_{metric}": value for metric, value in measured(self.translations[name])}
        longer = self.data.part("longer") if name == "test" else None
        if longer is None:
            return {}
        answers = translated(model, reader, longer.cases(), size)
        return {f"{name}_longer_exact_match": sum(each.right for each in answers) / len(answers)}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """None."""
        return {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Never while it trains: exact matches come late, and frequencies of tokens are learned within an epoch."""
        return False

    def floor(self, train: PairSubset, part: PairSubset) -> float:
        """Return the share of the most frequent answer in ``train``, or the perplexity by frequencies of tokens."""
        if self.exact:
            answers = Counter(target for targets in train.cases().values() for target in targets)
            always = answers.most_common(1)[0][0]
            given = [target for targets in part.cases().values() for target in targets]
            return given.count(always) / len(given)
        counts, wanted = (tokens_in(each).bincount(minlength=self.data.outputs).double() for each in (train, part))
        log_probabilities = ((counts + 1) / (counts + 1).sum()).log()
        return (-(wanted * log_probabilities).sum() / wanted.sum()).exp().item()

    def at_chance(self, value: float, floor: float) -> bool:
        return value <= floor if self.exact else value >= floor


def tokens_in(part: PairSubset) -> Tensor:
    """Return all target tokens of a part, without padding, int64 [n] on the CPU."""
    targets = part.targets.padded(part.index).cpu().flatten()
    return targets[targets != PAD]


def reader_of(data: PairDataset) -> Reader:
    """Return how the dataset's sentences become numbers."""
    kinds = (data.sources.kind, data.targets.kind)
    return Reader(data.sources.vocabulary, data.targets.vocabulary, kinds, data.rule, data.steps, data.width)


def unmeasured(data: PairDataset) -> str | None:
    """Return the remark that BLEU is not measured; None if it is, or if it says nothing of these pairs."""
    return None if has_sacrebleu() or data.metric == "exact_match" else UNMEASURED
