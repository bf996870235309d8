"""The data and the network of a config alone, to look at and to use in code of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from d2lrun.api import process
from d2lrun.api.words import overrides
from d2lrun.config import compose

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Data:
    """The data of a config, as a network is given them: inputs and targets of each part, on the CPU."""

    train: tuple[Any, Tensor]
    val: tuple[Any, Tensor] | None  # with validation=holdout
    test: tuple[Any, Tensor] | None
    classes: tuple[str, ...]  # none of a regression


def data(*words: str, config_dir: str | None = None, **settings: Any) -> Data:
    """Return the data that the overrides describe, as tensors: ``data("dataset=fashion-mnist").train``.

    All examples of a part are one batch, in stored order; of a stream of text, a list of rows, as they are measured.
    Raises Refused.
    """
    typed = overrides(words, settings)
    config = process.composed([*compose.reader(typed), *typed], config_dir)
    with process.isolated():
        from d2lrun import datasets

        found = datasets.prepared(config, process.LOG.info)
        split = found.split(config.validation, config.seed)
        parts = {name: whole(getattr(split, name)) for name in ("train", "val", "test")}
    return Data(**parts, classes=tuple(getattr(found, "classes", ())))


def whole(part: Any) -> Any:
    """Return the inputs and targets of a part in stored order; of a stream, lists of its rows; or None."""
    if part is None:
        return None
    from d2lrun.training.examples import Indexed

    if isinstance(part, Indexed):  # its ``ordered`` may sort by length
        return part.load(part.index)
    inputs, targets = zip(*(part.load(rows) for chain in part.ordered(part.size) for rows in chain), strict=True)
    return list(inputs), list(targets)


def build(*words: str, config_dir: str | None = None, **settings: Any) -> nn.Module:
    """Return the network that the overrides describe, with its initial weights: ``build("model=resnet")``.

    The weights are those of a run with the same seed. Raises Refused.
    """
    config = process.composed(overrides(words, settings), config_dir)
    with process.isolated():
        import torch

        from d2lrun import datasets, models

        inputs, classes = datasets.form(config, process.LOG.info)
        torch.manual_seed(config.seed)
        return models.build(config.model, inputs, classes)
