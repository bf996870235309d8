"""Forecasting: the squared error of the next value (book 8.1). B batch, τ values of a window."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.disk.content import fingerprint
from d2lrun.tasks.forecasting.series import SeriesDataset, SeriesSubset
from d2lrun.training.fit import steps

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split


def build(data: SeriesDataset, model: Any) -> Forecasting:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    return Forecasting()


class Forecasting:
    """Predictions [B, 1] after windows [B, τ], and the true next values [B, 1].

    The loss is the mean squared error of what the network sees. The metric rmse is the root of the mean squared error
    in the units of the data. As in the book, the training part is measured again after each epoch, in eval mode.
    """

    unit, counts, stateful, remeasure_train = "examples", 1, False, True
    caveat: str | None = None
    compared, constant = "rmse", "always the mean of the training values"

    def learn(self, state: State, split: Split[SeriesSubset], config: Config) -> Course:
        """Learn by the steps of an optimizer."""
        return steps(state, split, self, config)

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, 1]

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(predictions, targets)

    def count(self, predictions: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """[sum of squared errors]."""
        return (loss * targets.numel()).reshape(1)

    def metrics(self, name: str, sums: Tensor, units: int, part: SeriesSubset | None = None) -> dict[str, float]:
        """Return the loss, and of a whole part, whose units are known, the rmse."""
        loss = sums.item() / units
        return {f"{name}_loss": loss} | ({f"{name}_rmse": part.scale.deviation * sqrt(loss)} if part else {})

    def measured_on(self, part: SeriesSubset) -> dict[str, str]:
        """The loss depends on the scale, too."""
        return {"rmse": part.fingerprint, "loss": fingerprint(part.fingerprint, str(part.scale))}

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """None."""
        return {}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """None."""
        return {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Return False during training; the comparison with ``floor`` is made at the end."""
        return False

    def floor(self, train: SeriesSubset, part: SeriesSubset) -> float:
        return (part.targets - train.targets.mean()).square().mean().sqrt().item()

    def at_chance(self, rmse: float, floor: float) -> bool:
        return rmse >= floor
