"""What a batch means: the loss of a model on it, what is counted of it, and what the counts are called.

B batch, K classes, T time steps, V tokens of the vocabulary.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.datasets.images import ImageDataset, ImagePart
from d2lrun.datasets.stream import TextDataset, TextPart
from d2lrun.datasets.table import TableDataset, TablePart

SEEN = (
    "the model is bidirectional and reads the tokens that it predicts: its perplexity says nothing of unseen text "
    "and is not compared with that of a one-way model"
)
CHANCE_EPOCHS = 3  # LeNet sits at chance for a whole epoch and then learns (book 6.6)
CHANCE_SHARE = 0.03  # of the way from chance to all right: an accuracy up to there is at chance


class Part(Protocol):
    """What trains, validates or tests, lying on one device. A batch has a name, such as its examples' indices."""

    of: int | None  # examples or tokens of the whole part, if this is only its beginning

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Tensor]:
        """The names of the batches of an epoch in training: a pure function of (seed, epoch)."""

    def ordered(self, size: int) -> list[list[Any]]:
        """The names of the batches in an evaluation, in chains: within a chain the state is carried on."""

    def limited(self, batches: int, size: int) -> Part:
        """As much of it as so many batches hold, for a quick look."""

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and targets of a batch."""

    def count(self, batches: list[Any]) -> int:
        """How many examples or tokens the batches hold."""

    @property
    def size(self) -> int:
        """How many examples or tokens it has."""

    @property
    def fingerprint(self) -> str:
        """Equal for two parts of the same examples or tokens."""


class Task(Protocol):
    unit: str  # of what is counted: examples or tokens
    counts: int  # numbers in the sums
    carries: bool  # whether in training a batch begins with what the one before left
    again: bool  # whether the training part is measured again after each epoch, in place of running values
    caveat: str | None  # what a reader of the metrics has to know
    compared: str  # the metric that is compared with the best constant prediction
    constant: str  # that prediction, which looks at no input, in words

    def forward(self, model: nn.Module, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
        """The logits of a batch, and what the next batch begins with; ``carry`` is that of the batch before."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """What is to become small: the mean cross-entropy, in nats, or the mean squared error."""

    def count(self, logits: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """[counts] of a batch, on its device: add them up, measure at the end."""

    def measures(self, name: str, sums: Tensor, units: int, part: Part | None = None) -> dict[str, float]:
        """The metrics that the sums come to: the one place where counts leave the device.

        ``name`` is train, val or test; ``part`` is given if all of it was measured.
        """

    def measured_on(self, part: Part) -> dict[str, str]:
        """For each metric a fingerprint of what it is measured on: only under equal ones can it be compared."""

    def weigh(self, model: nn.Module) -> dict[str, float]:
        """What a record says of the weights themselves."""

    def dead(self, records: list[dict[str, Any]]) -> bool:
        """Whether training is still at chance after its third epoch or later."""

    def floor(self, data: Any, train: Any, part: Any) -> float:
        """What the best constant prediction for the Part ``train`` comes to on ``part``, in the metric ``compared``."""

    def at_chance(self, value: float, floor: float) -> bool:
        """Whether a value of that metric is no better than the floor; NaN never is."""


class Classification:
    """Logits [B, K] against labels [B]: cross-entropy and accuracy."""

    unit, counts, carries, again, caveat = "examples", 2, False, False, None
    compared, constant = "accuracy", "always the commonest class"

    def __init__(self, classes: int):
        self.classes = classes

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, K]

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def count(self, logits: Tensor, labels: Tensor, loss: Tensor) -> Tensor:
        """[summed loss, number correct]."""
        correct = (logits.argmax(dim=1) == labels).sum(dtype=loss.dtype)
        return torch.stack((loss * len(labels), correct))

    def measures(self, name: str, sums: Tensor, units: int, part: Part | None = None) -> dict[str, float]:
        loss, correct = sums.tolist()
        return {f"{name}_loss": loss / units, f"{name}_accuracy": correct / units}

    def measured_on(self, part: Part) -> dict[str, str]:
        return dict.fromkeys(("loss", "accuracy"), part.fingerprint)

    def weigh(self, model: nn.Module) -> dict[str, float]:
        """Nothing."""
        return {}

    def dead(self, records: list[dict[str, Any]]) -> bool:
        """Whether training is, after its third epoch or later, no more than 3 % of the way from chance to all."""
        accuracy = records[-1]["train_accuracy"] if len(records) >= CHANCE_EPOCHS else 1.0
        return self.at_chance(accuracy, 1 / self.classes)

    def floor(self, data: ImageDataset, train: ImagePart, part: ImagePart) -> float:
        """The share of the commonest class; among few examples at least that of a class among all."""
        commonest = train.labels[train.index].cpu().bincount().argmax()
        return max((part.labels[part.index].cpu() == commonest).double().mean().item(), 1 / self.classes)

    def at_chance(self, accuracy: float, floor: float) -> bool:
        """Whether it is no more than 3 % of the way from the floor to all right."""
        return accuracy < floor + CHANCE_SHARE * (1 - floor)


class LanguageModel:
    """Logits [B, T, V] against the tokens that came next [B, T]: cross-entropy and perplexity (book 8.4).

    ``carries``: in training the hidden state of a batch is where the next begins, cut off from its history, and
    not zeros (book 8.5). An evaluation carries it on in any case.
    ``sees_targets``: the model is bidirectional and reads the tokens that it predicts (book 9.4), so that its figures
    are not compared with those of a one-way model.
    A part that is measured as a whole also has bits per character, which can be compared between kinds of tokens.
    """

    unit, counts, again = "tokens", 1, False
    compared, constant = "perplexity", "how often each token occurs"

    def __init__(self, carries: bool, sees_targets: bool = False):
        self.carries, self.sees_targets = carries, sees_targets
        self.caveat = SEEN if sees_targets else None

    def forward(self, model: nn.Module, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
        logits, state = model(inputs, carry)  # [B, T, V]
        return logits, detached(state)

    def loss(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """The logits of the last steps are measured, as many as there are ``tokens``; those before are history."""
        logits = logits[:, logits.shape[1] - tokens.shape[1] :]
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten())

    def count(self, logits: Tensor, tokens: Tensor, loss: Tensor) -> Tensor:
        """[summed loss]."""
        return (loss * tokens.numel()).reshape(1)

    def measures(self, name: str, sums: Tensor, units: int, part: Part | None = None) -> dict[str, float]:
        total = sums.item()
        loss = total / units
        metrics = {f"{name}_loss": loss, f"{name}_perplexity": exp(min(loss, 700.0))}  # beyond that exp overflows
        if part is not None:
            metrics[f"{name}_bits_per_character"] = total / log(2) / part.characters
        return metrics

    def measured_on(self, part: Part) -> dict[str, str]:
        seen = " that are seen" if self.sees_targets else ""
        tokens, text = part.fingerprint + seen, part.text_fingerprint + seen
        return {"loss": tokens, "perplexity": tokens, "bits_per_character": text}

    def weigh(self, model: nn.Module) -> dict[str, float]:
        """Nothing."""
        return {}

    def dead(self, records: list[dict[str, Any]]) -> bool:
        """Never: a language model learns the frequencies of its tokens within an epoch."""
        return False

    def floor(self, data: TextDataset, train: TextPart, part: TextPart) -> float:
        return unigram_perplexity(train.tokens, part.tokens, len(data.vocabulary))

    def at_chance(self, perplexity: float, floor: float) -> bool:
        return perplexity >= floor


class Regression:
    """Predictions [B, 1] against numbers [B, 1]: the mean squared error (book 3.3, 4.4).

    ``logarithmic``: also the root mean square of log predicted - log true, each prediction at least 1, so that an
    error counts by its share of what is right (book 4.10); it is measured and not trained with.
    As in the book the training part is measured again after each epoch, in eval mode with the weights that the
    epoch ended with: train and test figures are of one kind, and dropout is off in both.
    """

    unit, carries, again, caveat = "examples", False, True, None
    compared, constant = "loss", "always the mean of the training targets"

    def __init__(self, logarithmic: bool):
        self.counts = 2 if logarithmic else 1

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, 1]

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(predictions, targets)

    def count(self, predictions: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """[summed squared error] and, where asked for, [summed squared error of the logarithms]."""
        sums = [loss * targets.numel()]
        if self.counts == 2:
            sums.append((predictions.clamp(min=1).log() - targets.log()).square().sum())
        return torch.stack(sums)

    def measures(self, name: str, sums: Tensor, units: int, part: Part | None = None) -> dict[str, float]:
        means = [value / units for value in sums.tolist()]
        return {f"{name}_loss": means[0], **{f"{name}_log_rmse": sqrt(mean) for mean in means[1:]}}

    def measured_on(self, part: Part) -> dict[str, str]:
        return dict.fromkeys(("loss", "log_rmse")[: self.counts], part.fingerprint)

    def weigh(self, model: nn.Module) -> dict[str, float]:
        """Of a linear model ‖w‖₂, which weight decay draws towards 0 (book 4.5)."""
        return {"weight_norm": model.weight.detach().norm().item()} if isinstance(model, nn.Linear) else {}

    def dead(self, records: list[dict[str, Any]]) -> bool:
        """Never while it trains: ``floor`` is asked at the end."""
        return False

    def floor(self, data: TableDataset, train: TablePart, part: TablePart) -> float:
        mean = train.targets[train.index].cpu().double().mean()
        return (part.targets[part.index].cpu().double() - mean).square().mean().item()

    def at_chance(self, loss: float, floor: float) -> bool:
        return loss >= floor


def unigram_perplexity(train: Tensor, tokens: Tensor, size: int) -> float:
    """Of ``tokens`` [N] predicted by the counts in ``train`` [M] of the ``size`` tokens, with one added to each."""
    counts, wanted = (each.cpu().long().bincount(minlength=size).double() for each in (train, tokens))
    log_probabilities = ((counts + 1) / (counts + 1).sum()).log()
    return (-(wanted * log_probabilities).sum() / wanted.sum()).exp().item()


def detached(state: Any) -> Any:
    """The hidden state, a tensor or a tuple of tensors, without its history."""
    return state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)


def task_of(data: ImageDataset | TextDataset | TableDataset, model: Any) -> Task:
    """What the dataset is for; ``model`` is the config group of that name."""
    if isinstance(data, TextDataset):
        return LanguageModel(data.sampling == "sequential", getattr(model, "bidirectional", False))
    if isinstance(data, TableDataset):
        return Regression(data.logarithmic)
    return Classification(data.num_classes)
