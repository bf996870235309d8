"""Language modelling: cross-entropy of logits and next tokens, perplexity (book 8.4).

B batch, T time steps, V tokens of the vocabulary.
"""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.config.tables import network_of
from d2lrun.tasks.language_model.counting import count_grams
from d2lrun.tasks.language_model.stream import TextDataset, TextSubset
from d2lrun.training.fit import steps

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split

SEEN = (
    "the model is bidirectional and reads the tokens that it predicts: its perplexity says nothing of unseen text "
    "and cannot be compared with a one-way model"
)


def build(data: TextDataset, model: Any) -> LanguageModel:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    bidirectional, counting = getattr(model, "bidirectional", False), not network_of(model).steps
    return LanguageModel(data.outputs, data.sampling == "sequential", bidirectional, counting)


class LanguageModel:
    """Logits [B, T, V] and next tokens [B, T]: cross-entropy and perplexity (book 8.4).

    ``size``: the number of tokens in the vocabulary.
    ``stateful``: in training, the hidden state after a batch is detached and starts the next batch, instead of zeros
    (book 8.5). An evaluation always passes it on.
    ``sees_targets``: the model is bidirectional and reads the tokens that it predicts (book 9.4), so its metrics are
    not compared with a one-way model.
    ``counting``: the model learns in one pass, by counting n-grams (book 8.3).
    If a part is measured completely, it also has bits per character, which can be compared between kinds of tokens.
    """

    unit, counts, remeasure_train = "tokens", 1, False
    compared, constant = "perplexity", "how often each token occurs"

    def __init__(self, size: int, stateful: bool, sees_targets: bool = False, counting: bool = False):
        self.size, self.stateful, self.sees_targets, self.counting = size, stateful, sees_targets, counting
        self.caveat = SEEN if sees_targets else None

    def learn(self, state: State, split: Split[TextSubset], config: Config) -> Course:
        """Learn by the steps of an optimizer, or by counting."""
        return (count_grams if self.counting else steps)(state, split, self, config)

    def forward(self, model: nn.Module, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
        logits, state = model(inputs, carry)  # [B, T, V]
        return logits, detached(state)

    def loss(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Return the loss of the last steps, as many as there are ``tokens``; the steps before are history."""
        logits = logits[:, logits.shape[1] - tokens.shape[1] :]
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def count(self, logits: Tensor, tokens: Tensor, loss: Tensor) -> Tensor:
        """[summed loss]."""
        return (loss * tokens.numel()).reshape(1)

    def metrics(self, name: str, sums: Tensor, units: int, part: TextSubset | None = None) -> dict[str, float]:
        total = sums.item()
        loss = total / units
        metrics = {f"{name}_loss": loss, f"{name}_perplexity": exp(min(loss, 700.0))}  # beyond that exp overflows
        if part is not None:
            metrics[f"{name}_bits_per_character"] = total / log(2) / part.characters
        return metrics

    def measured_on(self, part: TextSubset) -> dict[str, str]:
        seen = " that are seen" if self.sees_targets else ""
        tokens, text = part.fingerprint + seen, part.text_fingerprint + seen
        return {"loss": tokens, "perplexity": tokens, "bits_per_character": text}

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """None."""
        return {}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """None."""
        return {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Never: a language model learns the frequencies of its tokens within an epoch."""
        return False

    def floor(self, train: TextSubset, part: TextSubset) -> float:
        """Return the perplexity of predictions by the frequency of each token in ``train``."""
        return unigram_perplexity(train.tokens, part.tokens, self.size)

    def at_chance(self, perplexity: float, floor: float) -> bool:
        return perplexity >= floor


def unigram_perplexity(train: Tensor, tokens: Tensor, size: int) -> float:
    """Return the perplexity of ``tokens`` [N] by the counts in ``train`` [M] plus 1, over ``size`` tokens."""
    counts, wanted = (each.cpu().long().bincount(minlength=size).double() for each in (train, tokens))
    log_probabilities = ((counts + 1) / (counts + 1).sum()).log()
    return (-(wanted * log_probabilities).sum() / wanted.sum()).exp().item()


def detached(state: Any) -> Any:
    """Return the hidden state, a tensor, a tuple of tensors or None, detached from its history."""
    if state is None:
        return None
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
