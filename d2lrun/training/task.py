"""The protocols of a task and its data: loss, metrics, units, splits. Each folder of ``d2lrun/tasks`` implements them.

B batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from d2lrun.disk.content import Content
from d2lrun.models.inputs import Inputs

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State

Self = TypeVar("Self")
Part = TypeVar("Part", bound="Subset", covariant=True)
CHANCE_EPOCHS = 3  # LeNet stays at chance for a whole epoch and then learns (book 6.6)


class Subset(Protocol):
    """The examples that train, validate or test, on one device. A batch is named, for example by its indices."""

    @property
    def size(self) -> int:
        """The number of examples or tokens."""

    @property
    def of(self) -> int | None:
        """The number of examples or tokens of the whole subset, if this is only its beginning."""

    @property
    def fingerprint(self) -> str:
        """Equal for two subsets of the same examples or tokens."""

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Any]:
        """Return the names of the batches of a training epoch: a pure function of (seed, epoch)."""

    def ordered(self, size: int) -> list[list[Any]]:
        """Return the names of the batches of an evaluation, in chains: the hidden state is passed on within a chain."""

    def limited(self: Self, batches: int, size: int) -> Self:
        """Return the beginning of the subset that fits ``batches`` batches of ``size``."""

    def joined(self: Self, least: int) -> Self:
        """Return the same subset; a last training batch of fewer than ``least`` examples joins the batch before it."""

    def load(self, batch: Any) -> tuple[Any, Tensor]:
        """Return the inputs (a tensor, or a tuple of tensors) and the targets of a batch."""

    def count(self, batches: list[Any]) -> int:
        """Return the number of examples or tokens in the batches."""


@dataclass(frozen=True)
class Split(Generic[Part]):
    """The subsets of a dataset; ``val`` or ``test`` is None if there is none."""

    train: Part
    val: Part | None = None
    test: Part | None = None
    test_each_epoch: bool = False  # as the book does; otherwise the test set is measured once, at the end

    def limited(self, batches: int | None, size: int) -> Split[Part]:
        """Return the split with ``val`` and ``test`` limited to ``batches`` batches of ``size``; None: no limit."""
        if batches is None:
            return self
        val, test = (part and part.limited(batches, size) for part in (self.val, self.test))
        return replace(self, val=val, test=test)

    @property
    def monitored(self) -> tuple[str, Part] | None:
        """The name and the subset that is measured after every epoch."""
        if self.val is not None:
            return "val", self.val
        return ("test", self.test) if self.test_each_epoch and self.test is not None else None

    @property
    def final_test(self) -> Part | None:
        """The test set if it is measured once, at the end; else None."""
        return None if self.test_each_epoch else self.test

    @property
    def measured(self) -> list[tuple[str, Part]]:
        """The names and subsets that a finished run is measured on."""
        return [(name, part) for name, part in (("val", self.val), ("test", self.test)) if part is not None]

    @property
    def pictured(self) -> Part:
        """The test set, else what is monitored, else what trains: a fold never looks at the test set."""
        return self.final_test or (self.monitored[1] if self.monitored else self.train)


class Dataset(Protocol):
    """Examples in memory, all of them on one device."""

    @property
    def name(self) -> str:
        """The dataset's name in the config."""

    @property
    def source(self) -> str:
        """Where the data were found or how they were generated, for messages."""

    @property
    def contents(self) -> tuple[Content, ...]:
        """The files that were read, or the rows that were generated."""

    @property
    def inputs(self) -> Inputs:
        """What the network is given: models/inputs.py."""

    @property
    def outputs(self) -> int:
        """The number of outputs of the network for each target."""

    def to(self: Self, device: torch.device | str) -> Self:
        """Return the same dataset on ``device``."""

    def check_split(self, config: Config) -> str | None:
        """Raise Refused, with a hint that works, if a subset of any fold cannot train or be measured.

        Return a remark on the folds, or None.
        """

    def fit(self: Self, config: Config) -> Self:
        """Return the dataset as a run uses it, with what it learns from examples, such as a vocabulary.

        It learns from the training part of ``split`` only. Raises Refused.
        """

    def split(self, validation: Any, seed: int) -> Split[Subset]:
        """Return the split that the config group ``validation`` describes; raises Refused.

        With K folds, return the fold ``validation.fold``, or the first. A fold never uses the test set.
        """


class Course(NamedTuple):
    """How a model learns: the batches of one epoch, and the generator that trains on them."""

    batches: list[Any]
    pauses: Iterator[dict[str, Any] | None]  # None after a batch, the record after an epoch


class Task(Protocol):
    """The loss and the metrics. ``Any`` is a type of the task itself: its subsets, the state of its model."""

    unit: str  # what is counted: examples or tokens
    counts: int  # length of the sums
    stateful: bool  # whether a training batch begins with the hidden state after the batch before
    remeasure_train: bool  # whether the training part is measured again after each epoch, instead of running values
    caveat: str | None  # remarks for readers of the metrics, one a line
    compared: str  # the metric that is compared with the best constant prediction
    constant: str  # a description of the best constant prediction, which uses no input

    def learn(self, state: State, split: Split[Any], config: Config) -> Course:
        """Return how the model learns: by the steps of ``training.fit``, or in the task's own way."""

    def forward(self, model: nn.Module, inputs: Any, carry: Any) -> tuple[Tensor, Any]:
        """Return the outputs for a batch and the hidden state after it; ``carry`` is the state before it."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch, which training minimises."""

    def count(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Return the sums [counts] of a batch, on its device; ``metrics`` computes the metrics from them."""

    def metrics(self, name: str, sums: Tensor, units: int, part: Any = None) -> dict[str, float]:
        """Compute the metrics from the sums; only this function moves the sums from the device to the CPU.

        ``name`` is train, val or test; ``part`` is given if all of it was measured.
        """

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """Return the metrics of a finished model that need more than one pass, such as BLEU of its translations.

        ``name`` is val or test, ``size`` the batch size.
        """

    def measured_on(self, part: Any) -> dict[str, str]:
        """Return {metric: fingerprint} of the measured examples; values with different fingerprints do not compare."""

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """Return metrics of the weights, such as their norm, for the record of an epoch."""

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Whether training is no better than chance after ``CHANCE_EPOCHS`` or more."""

    def floor(self, train: Any, part: Any) -> float:
        """Return the metric ``compared`` on ``part`` of the constant prediction that is best on ``train``."""

    def at_chance(self, value: float, floor: float) -> bool:
        """Whether a value of the metric ``compared`` is no better than the floor; NaN gives False."""
