"""Rows of a table in memory: features, and numbers or classes to predict (book 3.3, 4.4, 4.5, 4.10).

N rows, D features, K classes, B batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from d2lrun.disk.cells import Column, shown
from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.tabular.encoding import Encoded, Field, Statistics, features_of, learn
from d2lrun.training.examples import Examples, Indexed

# Training rows [n] -> the features [N, D] of all training rows and of all test rows, fitted on those rows only.
Prepare: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Line:
    """The data for the picture of a function of one variable."""

    points: Tensor  # x of the training rows [N]
    grid: Tensor  # x of the drawn line [G]
    features: Tensor  # of the grid [G, D]
    truth: Tensor  # y on the grid, without noise [G]
    prepare: Callable[[Tensor], Tensor] | None = None  # training rows [n] -> features; None: they do not depend on them


class Scale(NamedTuple):
    """The mean and the standard deviation of the targets that train: the network learns (target - mean) / deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Cells:
    """The rows of a file, of which features are made again if other rows train."""

    encoded: Encoded  # the training rows, and then the test rows
    columns: Mapping[str, Column] = field(default_factory=dict)  # all columns of the training rows as they are
    whole: bool = False  # whether all rows are learned from, whichever train


@dataclass(frozen=True, eq=False)
class TableDataset(Examples["TableSubset"]):
    """Features are float32 [N, D], targets float32 [N, 1], or int64 [N] that index ``classes``.

    The test set of a competition has no targets (None).
    """

    name: str
    train_features: Tensor
    train_targets: Tensor
    test_features: Tensor
    test_targets: Tensor | None
    source: str  # where it was found or how it was generated, for messages
    fields: tuple[Field, ...]
    target: str = "y"  # name of the target, for messages
    classes: tuple[str, ...] = ()  # names of the classes; empty: the target is a number
    logarithmic: bool = False  # whether the target is positive and its error is relative, as for a price
    prepare: Prepare | None = None  # None: the features do not depend on the training rows
    cells: Cells | None = None  # if the rows are from a file
    learned: Statistics | None = None  # of the rows that train, if they are from a file
    scaled: bool = False  # whether the network learns a number by its ``scale``
    scale: Scale | None = None  # after ``fitted``
    weights: Tensor | None = None  # of the classes in the loss, float32 [K]; None: all alike
    scored: bool = False  # whether metrics in which each class counts alike are measured
    identifier: str | None = None  # name of the column with the names of the rows
    group: str | None = None  # name of the column of groups, which is no feature
    missing: tuple[str, ...] = ()  # cells of the file without a value, in lower case
    test_ids: tuple[str, ...] = ()  # names of the test rows, if they have names
    remarks: tuple[str, ...] = ()  # what a reader of the metrics should know of the rows
    line: Line | None = None  # if the features are functions of one variable
    contents: tuple[Content, ...] = ()  # the data that were read or generated
    pools: Mapping[str, str] = field(default_factory=dict)  # "train" and "test": fingerprints of rows and targets

    @property
    def inputs(self) -> tuple[int, ...]:
        """(D,): the shape of the network's input."""
        return tuple(self.train_features.shape[1:])

    @property
    def outputs(self) -> int:
        """The number of outputs for each row: a number, or one logit for each class."""
        return len(self.classes) or 1

    @property
    def class_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The classes, to stratify by."""
        return self.classes

    @property
    def strata(self) -> Tensor:
        """Return the classes int64 [N] on the CPU; all 0 for numbers, so the split depends only on the seed."""
        return self.train_targets.cpu() if self.classes else torch.zeros(len(self.train_targets), dtype=torch.int64)

    def to(self, device: torch.device | str) -> TableDataset:
        """Return the same dataset with its tensors on ``device``."""
        names = ("train_features", "train_targets", "test_features", "test_targets", "weights")
        tensors: dict[str, Any] = {name: getattr(self, name) for name in names}
        moved: dict[str, Any] = {name: None if value is None else value.to(device) for name, value in tensors.items()}
        return replace(self, **moved)

    def pool(self, name: str) -> str:
        """Return the fingerprint of all rows and targets of "train" or "test", as they were read or generated."""
        return self.pools.get(name) or fingerprint(getattr(self, f"{name}_features"), getattr(self, f"{name}_targets"))

    def fit(self, config: Any) -> TableDataset:
        """Return the dataset fitted on the training part, with the weights of its classes; raises Refused."""
        if config.train.class_weights != "none" and not self.classes:
            given = f"train.class_weights={config.train.class_weights}: {self.target} is a number, without classes"
            raise Refused(given, "leave it out, or give dataset.task=classification")
        return super().fit(config)

    def fitted(self, index: Tensor) -> TableDataset:
        """Return the dataset with its preparation fitted on the training rows ``index`` [n] only.

        Most generated datasets need no preparation and are returned unchanged.
        """
        if self.prepare is None and (self.cells is None or self.cells.whole):
            return self
        if self.cells is not None:
            learned = learn(self.cells.encoded, index.cpu())
            both = features_of(self.cells.encoded, learned).split([len(self.train_features), len(self.test_features)])
            scale = scale_of(self.train_targets.cpu()[index.cpu()]) if self.scaled else None
            train, test = (features.to(self.train_features.device) for features in both)
            return replace(self, train_features=train, test_features=test, learned=learned, scale=scale)
        assert self.prepare is not None
        train, test = (features.to(self.train_features.device) for features in self.prepare(index.cpu()))
        line = self.line
        if line is not None and line.prepare is not None:
            line = replace(line, features=line.prepare(index.cpu()))
        return replace(self, train_features=train, test_features=test, line=line)

    def groups_in(self, column: str) -> Tensor:
        """Return the group of each training row by its value in a column; raises Refused."""
        return torch.from_numpy(self.column("validation.group", column).index)

    def times_in(self, column: str) -> Tensor:
        """Return the number or date of each training row in a column; raises Refused."""
        cells = self.column("validation.time", column)
        times = cells.times[cells.index]
        if (wrong := np.isnan(times)).any():
            row = wrong.argmax()
            wanted = "wanted a number, or a date such as 2026-01-31 or 2026-01-31 12:00"
            what = f"{shown(cells.values[cells.index[row]]) or 'nothing'} is no time"
            raise Refused(f"{self.source}, row {row + 1}: {what}", wanted)
        return torch.from_numpy(times)

    def column(self, key: str, name: str) -> Column:
        """Return the column of the training rows that a key names; raises Refused."""
        assert self.cells is not None, "checked with the config"
        if name not in self.cells.columns:
            have = ", ".join(map(shown, self.cells.columns))
            raise Refused(f"{self.source}: {key}={shown(name)}: no such column (have: {have})", "name one of them")
        return self.cells.columns[name]

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
    targets: Tensor  # float32 [N, 1], or int64 [N]
    index: Tensor  # int64 [n]
    pool: str = "train"  # the pool that the indices refer to: train or test
    of: int | None = None  # number of rows of the whole part, if this is only its beginning
    least: int = 1  # least number of rows in a training batch

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [B, D], and targets [B, 1] as the network learns them, or classes [B]."""
        features, targets = self.features.index_select(0, batch), self.targets.index_select(0, batch)
        scale = self.data.scale
        return features, targets if scale is None else (targets - scale.mean) / scale.deviation

    @property
    def labels(self) -> Tensor:
        """The classes of the pool, int64 [N]."""
        return self.targets


def scale_of(targets: Tensor) -> Scale:
    """Return the mean and the standard deviation of targets [n, 1], on the CPU; 1 if they are all equal."""
    numbers = targets.double()
    deviation = numbers.std().item() if len(numbers) > 1 else 0.0
    return Scale(numbers.mean().item(), deviation or 1.0)
