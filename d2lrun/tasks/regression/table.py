"""Rows of numbers in memory: features and what is to be predicted of them (book 3.3, 4.4, 4.5, 4.10).

N rows, D features, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from d2lrun.disk.content import Content, fingerprint
from d2lrun.training.examples import Examples, Indexed

# Training rows [n] -> the features [N, D] of all training rows and of all test rows, prepared by those rows alone.
Prepare: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Field:
    """A column of the file, or a made one."""

    name: str
    width: int = 1  # of the features that it becomes
    categories: int | None = None  # None: a number
    missing: int = 0  # of its values, in training and test rows together


@dataclass(frozen=True, eq=False)
class Line:
    """What a picture of a function of one variable is drawn with."""

    points: Tensor  # x of the training rows [N]
    grid: Tensor  # x of the drawn line [G]
    features: Tensor  # of the grid [G, D]
    truth: Tensor  # y on the grid, without noise [G]


@dataclass(frozen=True, eq=False)
class TableDataset(Examples["TableSubset"]):
    """Features are float32 [N, D], targets float32 [N, 1]; the test set of a competition has no targets (None)."""

    name: str
    train_features: Tensor
    train_targets: Tensor
    test_features: Tensor
    test_targets: Tensor | None
    source: str  # where it was found or how it was made, for people
    fields: tuple[Field, ...]
    target: str = "y"  # what is predicted, for people
    logarithmic: bool = False  # whether what is predicted is positive and its error is relative: a price
    prepare: Prepare | None = None  # None: the features are as they are, whatever trains
    test_ids: tuple[str, ...] = ()  # of the test rows, where they have names
    line: Line | None = None  # where the features are made of one variable
    contents: tuple[Content, ...] = ()  # what was read or made
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of rows and targets

    @property
    def inputs(self) -> tuple[int]:
        """(D,): the shape of what the network is given."""
        return (self.train_features.shape[1],)

    @property
    def outputs(self) -> int:
        """One number for each row."""
        return 1

    @property
    def strata(self) -> Tensor:
        """int64 [N] on the CPU, all 0: rows have no classes, the seed alone divides them."""
        return torch.zeros(len(self.train_targets), dtype=torch.int64)

    def to(self, device: torch.device | str) -> TableDataset:
        """The same dataset with its tensors on ``device``."""
        names = ("train_features", "train_targets", "test_features", "test_targets")
        tensors: dict[str, Any] = {name: getattr(self, name) for name in names}
        moved: dict[str, Any] = {name: None if one is None else one.to(device) for name, one in tensors.items()}
        return replace(self, **moved)

    def pool(self, name: str) -> str:
        """The fingerprint of all rows and targets of "train" or "test", as they were read or made."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_features"), getattr(self, f"{name}_targets"))

    def fitted(self, index: Tensor) -> TableDataset:
        """The dataset prepared by the training rows ``index`` [n] alone: of the others nothing is learned.

        The number of features stays. A made dataset needs no preparation and is returned as it is.
        """
        if self.prepare is None:
            return self
        train, test = (features.to(self.train_features.device) for features in self.prepare(index.cpu()))
        return replace(self, train_features=train, test_features=test)

    def part(self, name: str, index: Tensor | None = None) -> TableSubset | None:
        """The rows ``index`` [n] of "train" or "test", all of them by default; None for a test set without targets."""
        features, targets = getattr(self, f"{name}_features"), getattr(self, f"{name}_targets")
        if targets is None:
            return None
        index = torch.arange(len(targets)) if index is None else index
        return TableSubset(self, features, targets, index.to(targets.device), name)


@dataclass(frozen=True, eq=False)
class TableSubset(Indexed):
    """The rows that train, validate or test. A batch is named by the indices [B] of its rows."""

    data: TableDataset
    features: Tensor  # float32 [N, D]
    targets: Tensor  # float32 [N, 1]
    index: Tensor  # int64 [n]
    pool: str = "train"  # what it is taken from: train or test
    of: int | None = None  # rows of the whole part, if this is only its beginning
    least: int = 1  # rows of a batch that trains

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, D] and targets [B, 1]."""
        return self.features.index_select(0, batch), self.targets.index_select(0, batch)
