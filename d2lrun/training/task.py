"""What the loop asks of a task and its data: loss, metrics, units, splits. Each folder of ``d2lrun/tasks`` answers it.

B batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from d2lrun.disk.content import Content

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State

Self = TypeVar("Self")
Part = TypeVar("Part", bound="Subset", covariant=True)
CHANCE_EPOCHS = 3  # LeNet sits at chance for a whole epoch and then learns (book 6.6)


class Subset(Protocol):
    """The examples that train, validate or test, on one device. A batch has a name, such as its examples' indices."""

    @property
    def size(self) -> int:
        """How many examples or tokens it has."""

    @property
    def of(self) -> int | None:
        """How many examples or tokens the whole subset has, if this is only its beginning."""

    @property
    def fingerprint(self) -> str:
        """Equal for two subsets of the same examples or tokens."""

    def shuffled(self, size: int, seed: int, epoch: int) -> list[Any]:
        """The names of the batches of a training epoch: a pure function of (seed, epoch)."""

    def ordered(self, size: int) -> list[list[Any]]:
        """The names of the batches of an evaluation, in chains: within a chain the state is carried on."""

    def limited(self: Self, batches: int, size: int) -> Self:
        """As much of it as so many batches hold."""

    def joined(self: Self, least: int) -> Self:
        """The same, but a last training batch of fewer than ``least`` examples becomes part of the one before it."""

    def load(self, batch: Any) -> tuple[Tensor, Tensor]:
        """The inputs and targets of a batch."""

    def count(self, batches: list[Any]) -> int:
        """How many examples or tokens the batches hold."""


@dataclass(frozen=True)
class Split(Generic[Part]):
    """The subsets of a dataset; ``val`` or ``test`` is None if nothing is kept for it."""

    train: Part
    val: Part | None = None
    test: Part | None = None
    test_each_epoch: bool = False  # as the book does; otherwise the test set is measured once, at the end

    def limited(self, batches: int | None, size: int) -> Split[Part]:
        """The same with as much of ``val`` and ``test`` as so many batches hold; None: all of them."""
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
        """Where it was found or how it was made, for people."""

    @property
    def contents(self) -> tuple[Content, ...]:
        """What was read or made."""

    @property
    def inputs(self) -> tuple[int, ...] | None:
        """The shape of one example for the network; None for tokens."""

    @property
    def outputs(self) -> int:
        """How many numbers the network gives for each target."""

    def to(self: Self, device: torch.device | str) -> Self:
        """The same dataset on ``device``."""

    def check_split(self, config: Config) -> None:
        """Raise Refused, with a hint that works, unless every subset can train or be measured, in all folds."""

    def split(self, validation: Any, seed: int) -> Split[Subset]:
        """The split that the config group ``validation`` describes; raises Refused.

        Of K folds it is the one that ``validation.fold`` names, or the first. A fold never sees the test set. What
        prepares the examples is fitted on the training part alone.
        """


class Course(NamedTuple):
    """How a model learns: the batches of one epoch, and the loop that takes them."""

    batches: list[Any]
    pauses: Iterator[dict[str, Any] | None]  # None after a batch, the record after an epoch


class Task(Protocol):
    """The loss and the metrics. ``Any`` stands for what the task itself made: its subsets, its model's state."""

    unit: str  # of what is counted: examples or tokens
    counts: int  # numbers in the sums
    stateful: bool  # whether in training a batch begins with what the one before left
    remeasure_train: bool  # whether the training part is measured again after each epoch, in place of running values
    caveat: str | None  # what a reader of the metrics has to know
    compared: str  # the metric that is compared with the best constant prediction
    constant: str  # that prediction, which looks at no input, in words

    def learn(self, state: State, split: Split[Any], config: Config) -> Course:
        """How the model learns: by the steps of ``training.fit``, or in a way of the task's own."""

    def forward(self, model: nn.Module, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
        """The outputs for a batch, and what the next batch begins with; ``carry`` is that of the batch before."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean of what is minimised."""

    def count(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """[counts] of a batch, on its device: sums of which the metrics are made."""

    def metrics(self, name: str, sums: Tensor, units: int, part: Any = None) -> dict[str, float]:
        """The metrics that the sums come to: the one place where counts leave the device.

        ``name`` is train, val or test; ``part`` is given if all of it was measured.
        """

    def measured_on(self, part: Any) -> dict[str, str]:
        """For each metric a fingerprint of what it is measured on: only under equal ones can it be compared."""

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """What a record says of the weights themselves."""

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Whether training is no better than chance after its third epoch or later."""

    def floor(self, train: Any, part: Any) -> float:
        """What the best constant prediction for ``train`` comes to on ``part``, in the metric ``compared``."""

    def at_chance(self, value: float, floor: float) -> bool:
        """Whether a value of that metric is no better than the floor; NaN never is."""
