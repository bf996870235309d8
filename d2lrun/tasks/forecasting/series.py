"""A series of numbers in memory, cut in time, and read through windows (book 8.1).

N values of the series, n of a part, B batch, τ (tau) values of a window.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from d2lrun.disk.content import Content, fingerprint
from d2lrun.errors import Refused
from d2lrun.tasks.forecasting.spans import check_series, spans_of
from d2lrun.training.examples import Indexed
from d2lrun.training.task import Split

if TYPE_CHECKING:
    from d2lrun.config.keys import Config


def unreadable(path: str) -> Tensor:
    """Raise Refused: this series is generated, so no file has its form."""
    raise Refused(f"{path}: the series of this run is made and not read from a file", "leave the file out")


@dataclass(frozen=True, eq=False)
class SeriesDataset:
    """Values are float64 [N] on the CPU, in the order of time; the first ``train`` of them may train."""

    name: str
    values: Tensor  # float64 [N], in the units of the data
    train: int  # number of values before the test part
    source: str  # where it was found or how it was generated, for messages
    column: str = "value"  # its name, for tables and pictures
    signal: Tensor | None = None  # float64 [N]: the series without its noise, if it is known
    remarks: tuple[str, ...] = ()  # what a reader of the file should know, such as gaps in time
    contents: tuple[Content, ...] = ()  # the files that were read, or the values that were generated
    read: Callable[[str], Tensor] = unreadable  # reads the values of another file in the same way; raises Refused
    tau: int = 4  # values of a window
    normalise: str = "none"  # none, or standard: by mean and deviation of the values that train
    device: torch.device | str = "cpu"  # of the windows

    @property
    def inputs(self) -> tuple[int]:
        """(τ,): the shape of the network's input."""
        return (self.tau,)

    @property
    def outputs(self) -> int:
        """The number of outputs: the next value."""
        return 1

    def to(self, device: torch.device | str) -> SeriesDataset:
        """Return the same dataset, whose windows are on ``device``."""
        return replace(self, device=device)

    def check_split(self, config: Config) -> None:
        """Raise Refused, with a hint that works, if a part of any fold has no window or no value to predict."""
        check_series(config, self.tau, self.train)

    def fit(self, config: Config) -> SeriesDataset:
        """Return the dataset itself: each split has the scale of its own training part."""
        return self

    def split(self, validation: Any, seed: int = 0) -> Split[SeriesSubset]:
        """Return the split in time, which does not depend on the seed; see ``spans_of``."""
        spans = spans_of(validation, self.tau, self.train, len(self.values))
        scale = self.scale(spans.train[1])
        series = scale.standardised(self.values).to(self.device)
        train, val, test = (
            None if span is None else SeriesSubset(self, series, scale, torch.arange(*span).to(self.device))
            for span in (spans.train if spans.train[0] < spans.train[1] else (0, 0), spans.val, spans.test)
        )
        assert train is not None, "every split has a training part"
        return Split(train, val, test, test_each_epoch=validation.name == "none")

    def scale(self, end: int) -> Scale:
        """Return the scale of the values before the time ``end``: these train, and no later one has an influence."""
        if self.normalise == "none" or end == 0:
            return Scale(0.0, 1.0)
        known = self.values[:end]
        return Scale(known.mean().item(), known.std(correction=0).item() or 1.0)  # 1: a constant series


@dataclass(frozen=True)
class Scale:
    """The network sees (value − mean) / deviation."""

    mean: float
    deviation: float

    def standardised(self, values: Tensor) -> Tensor:
        """Return values [N] in the units of the data as float32 [N] for the network."""
        return ((values.double() - self.mean) / self.deviation).float()

    def original(self, outputs: Tensor) -> Tensor:
        """Return outputs of the network as float64 on the CPU, in the units of the data."""
        return outputs.cpu().double() * self.deviation + self.mean


@dataclass(frozen=True, eq=False)
class SeriesSubset(Indexed):
    """The values that train, validate or test. A batch is named by the times [B] of the values that it predicts."""

    data: SeriesDataset
    series: Tensor  # float32 [N], as the network sees it
    scale: Scale
    index: Tensor  # int64 [n]: the times, each at least τ
    of: int | None = None  # number of values of the whole part, if this is only its beginning
    least: int = 1  # least number of values in a training batch

    @property
    def fingerprint(self) -> str:
        """Equal for the same predicted values after the same values, whatever the length of a window."""
        end = int(self.index[-1]) + 1 if self.size else 0
        return fingerprint(self.data.values[:end], self.index)

    @property
    def targets(self) -> Tensor:
        """The values that are predicted, float64 [n] on the CPU, in the units of the data."""
        return self.data.values[self.index.cpu()]

    def load(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the windows [B, τ] and the value after each [B, 1]."""
        windows = self.series.unfold(0, self.data.tau, 1)  # [N − τ + 1, τ], a view
        return windows.index_select(0, batch - self.data.tau), self.series[batch].unsqueeze(1)
