"""Predict the classes of texts: those of a dataset, or any others. n texts, K classes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from d2lrun.config.keys import Config
from d2lrun.disk import files
from d2lrun.disk.rundir import RunDirectory
from d2lrun.models.inputs import Sequences
from d2lrun.tasks.text_classification.texts import LabelledSubset, encode
from d2lrun.text import record
from d2lrun.text.ragged import Ragged
from d2lrun.text.vocabulary import Vocabulary
from d2lrun.training.bylength import by_length, in_stored_order
from d2lrun.training.evaluate import over_batches
from d2lrun.training.trained import trained

HEAD = ("index", "label", "predicted", "probability", "text")


@dataclass(frozen=True)
class Predictions:
    """The predictions for n texts of a dataset, in stored order."""

    index: Tensor  # int64 [n]: the places of the texts in their pool
    labels: Tensor  # int64 [n]
    predicted: Tensor  # int64 [n]
    certainty: Tensor  # [n]: the probability of the predicted class
    classes: Sequence[str]
    texts: Sequence[str]  # of the pool

    @property
    def confusion(self) -> Tensor:
        """Return the number of texts by class and prediction, [K, K]."""
        count = len(self.classes)
        return (self.labels * count + self.predicted).bincount(minlength=count * count).view(count, count)

    @property
    def mistakes(self) -> list[int]:
        """Return the rows with a wrong prediction, the most certain first."""
        wrong = (self.labels != self.predicted).nonzero()[:, 0]
        return wrong[self.certainty[wrong].argsort(descending=True, stable=True)].tolist()

    def rows(self, chosen: Iterable[int]) -> Iterator[tuple[int, str, str, str, str]]:
        """Yield the cells under HEAD for the ``chosen`` rows."""
        for row in chosen:
            place, label, guess = (int(column[row]) for column in (self.index, self.labels, self.predicted))
            certainty = f"{self.certainty[row].item():.6f}"
            yield place, self.classes[label], self.classes[guess], certainty, self.texts[place]

    def write(self, path: Path, chosen: Iterable[int] | None = None) -> None:
        """Write the ``chosen`` rows (default: all) as csv."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(self.rows(range(len(self.index)) if chosen is None else chosen))
        files.write_atomic(path, text.getvalue().encode("utf-8", "surrogatepass"))


def predict_part(part: LabelledSubset, model: nn.Module, size: int) -> Predictions:
    """Return the predictions for the texts of a subset, in batches of ``size``."""
    certainty, predicted = part_probabilities(part, model, size).max(dim=1)
    index = part.index.sort().values
    return Predictions(
        index, part.labels.cpu()[index], predicted, certainty, part.data.classes, part.data.texts[part.pool]
    )


def part_probabilities(part: LabelledSubset, model: nn.Module, size: int) -> Tensor:
    """Return the probability of each class [n, K], on the CPU, for the texts of a subset in stored order."""
    batches = [batch for chain in part.ordered(size) for batch in chain]
    logits = (over_batches(model, [part.load(batch)[0]]) for batch in batches)
    return in_stored_order(logits, batches).softmax(dim=1).cpu()


def classify(
    directory: RunDirectory, config: Config, texts: Sequence[str], top: int
) -> list[tuple[int, list[tuple[str, float]]]]:
    """Return for each text the number of its unknown tokens, and its ``top`` classes with probabilities.

    The most probable class is first.
    """
    found, classes, unknown = probabilities(directory, config, texts)
    certainty, ranked = found.topk(min(top, len(classes)), dim=1)
    rows = zip(unknown, ranked.tolist(), certainty.tolist(), strict=True)
    return [(count, [(classes[k], p) for k, p in zip(best, sure)]) for count, best, sure in rows]


def probabilities(
    directory: RunDirectory, config: Config, texts: Sequence[str]
) -> tuple[Tensor, Sequence[str], list[int]]:
    """Return the probability of each class [n, K] for n texts, the classes, and the number of unknown tokens of each.

    Needs only the run's files, not its data.
    """
    tokens, classes = record.read(directory, "tokens", "labels")
    model = trained(directory, config, Sequences(len(tokens)), len(classes))
    vocabulary, data = Vocabulary(tokens), config.dataset
    numbers = [encode(text, vocabulary, data.kind, data.rule, data.steps) for text in texts]
    ragged = Ragged.of(numbers).to(next(model.parameters()).device)
    batches = by_length(torch.arange(len(texts)), ragged.lengths).split(config.train.batch_size)
    logits = in_stored_order([over_batches(model, [ragged.padded(batch)]) for batch in batches], [*batches])
    return logits.softmax(dim=1), classes, [text.count(0) for text in numbers]
