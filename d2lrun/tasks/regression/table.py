"""Rows of numbers in memory: features and targets (book 3.3, 4.4, 4.5, 4.10).

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

# Training rows [n] -> the features [N, D] of all training rows and of all test rows, fitted on those rows only.
Prepare: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Field:
    """A column of the file, or a generated one."""

    name: str
    width: int = 1  # number of features that the column becomes
    categories: int | None = None  # None: a number
    missing: int = 0  # missing values in training and test rows together


@dataclass(frozen=True, eq=False)
class Line:
    """The data for the picture of a function of one variable."""

    points: Tensor  # x of the training rows [N]
    grid: Tensor  # x of the drawn line [G]
    features: Tensor  # of the grid [G, D]
    truth: Tensor  # y on the grid, without noise [G]
    prepare: Callable[[Tensor], Tensor] | None = None  # training rows [n] -> features; None: they do not depend on them


@dataclass(frozen=True, eq=False)
class TableDataset(Examples["TableSubset"]):
    """Features are float32 [N, D], targets float32 [N, 1]; the test set of a competition has no targets (None)."""

    name: str
    train_features: Tensor
    train_targets: Tensor
    test_features: Tensor
    test_targets: Tensor | None
    source: str  # where it was found or how it was generated, for messages
    fields: tuple[Field, ...]
    target: str = "y"  # name of the target, for messages
    logarithmic: bool = False  # whether the target is positive and its error is relative, as for a price
    prepare: Prepare | None = None  # None: the features do not depend on the training rows
    test_ids: tuple[str, ...] = ()  # names of the test rows, if they have names
    line: Line | None = None  # if the features are functions of one variable
    contents: tuple[Content, ...] = ()  # the data that were read or generated
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of rows and targets

    @property
    def inputs(self) -> tuple[int, ...]:
        """(D,): the shape of the network's input."""
        return tuple(self.train_features.shape[1:])

    @property
    def outputs(self) -> int:
        """The number of outputs: one for each row."""
        return 1

    @property
    def strata(self) -> Tensor:
        """Return int64 [N] on the CPU, all 0: rows have no classes, so the split depends only on the seed."""
        return torch.zeros(len(self.train_targets), dtype=torch.int64)

    def to(self, device: torch.device | str) -> TableDataset:
        """Return the same dataset with its tensors on ``device``."""
        names = ("train_features", "train_targets", "test_features", "test_targets")
        tensors: dict[str, Any] = {name: getattr(self, name) for name in names}
        moved: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)

    def pool(self, name: str) -> str:
        """Return the fingerprint of all rows and targets of "train" or "test", as they were read or generated."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_features"), getattr(self, f"{name}_targets"))

    def fitted(self, index: Tensor) -> TableDataset:
        """Return the dataset with its preparation fitted on the training rows ``index`` [n] only.

        Most generated datasets need no preparation and are returned unchanged.
        """
        if self.prepare is None:
            return self
        train, test = (features.to(self.train_features.device) for features in self.prepare(index.cpu()))
        line = self.line
        if line is not None and line.prepare is not None:
            line = replace(line, features=line.prepare(index.cpu()))
        return replace(self, train_features=train, test_features=test, line=line)

    def part(self, name: str, index: Tensor | None = None) -> TableSubset | None:
        """Return the rows ``index`` [n] (default: all) of "train" or "test"; None for a test set without targets."""
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
    pool: str = "train"  # the pool that the indices refer to: train or test
    of: int | None = None  # number of rows of the whole part, if this is only its beginning
    least: int = 1  # least number of rows in a training batch

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [B, D] and targets [B, 1]."""
        return self.features.index_select(0, batch), self.targets.index_select(0, batch)
