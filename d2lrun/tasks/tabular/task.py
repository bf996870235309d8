"""A number from the features of a row by its squared error (book 3.3, 4.4, 4.10), or a class. B batch, K classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from d2lrun.disk.content import fingerprint
from d2lrun.tasks.tabular.table import Scale, TableDataset, TableSubset
from d2lrun.training.fit import steps
from d2lrun.training.labels import LabelTask

if TYPE_CHECKING:
    from d2lrun.config.keys import Config
    from d2lrun.training.fit import State
    from d2lrun.training.task import Course, Split


def build(data: TableDataset, model: Any) -> Regression | RowClassification:
    """Return the task for a dataset; ``model`` is the config group of that name."""
    if data.classes:
        return RowClassification(data)
    return Regression(data.logarithmic, data.scale, data.remarks)


class RowClassification(LabelTask):
    """Logits [B, K] of rows against their classes [B]."""

    def __init__(self, data: TableDataset):
        super().__init__(data.outputs, data.weights, scored=True)
        self.caveat = "\n".join(data.remarks) or None


class Regression:
    """Predictions [B, 1] and targets [B, 1]: the mean squared error (book 3.3, 4.4).

    ``logarithmic``: also the root mean square of log predicted - log true, with predictions of at least 1, which
    measures relative errors (book 4.10); it is a metric, not the loss. With a ``scale``, the targets are standardised
    and the metric rmse is the root of the mean squared error in the units of the data.
    As in the book, the training part is measured again after each epoch, in eval mode with the weights after the
    epoch. So train and test metrics are measured in the same way, without dropout.
    """

    unit, stateful, remeasure_train = "examples", False, True
    constant = "always the mean of the training targets"

    def __init__(self, logarithmic: bool, scale: Scale | None = None, remarks: Sequence[str] = ()):
        self.counts, self.scale = 2 if logarithmic else 1, scale
        self.compared = "loss" if scale is None else "rmse"
        self.caveat: str | None = "\n".join(remarks) or None

    def learn(self, state: State, split: Split[TableSubset], config: Config) -> Course:
        """Learn by the steps of an optimizer."""
        return steps(state, split, self, config)

    def forward(self, model: nn.Module, inputs: Tensor, carry: None) -> tuple[Tensor, None]:
        return model(inputs), None  # [B, 1]

    def loss(self, predictions: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(predictions, targets)

    def count(self, predictions: Tensor, targets: Tensor, loss: Tensor) -> Tensor:
        """Return [sum of squared errors], and if ``logarithmic`` also the sum for the logarithms."""
        sums = [loss * targets.numel()]
        if self.counts == 2:
            sums.append((predictions.clamp(min=1).log() - targets.log()).square().sum())
        return torch.stack(sums)

    def metrics(self, name: str, sums: Tensor, units: int, part: TableSubset | None = None) -> dict[str, float]:
        means = [value / units for value in sums.tolist()]
        found = {f"{name}_loss": means[0], **{f"{name}_log_rmse": sqrt(mean) for mean in means[1:]}}
        return found | ({f"{name}_rmse": self.scale.deviation * sqrt(means[0])} if self.scale else {})

    def measured_on(self, part: TableSubset) -> dict[str, str]:
        """The loss depends on the scale, too."""
        if self.scale:
            return {"rmse": part.fingerprint, "loss": fingerprint(part.fingerprint, str(self.scale))}
        return dict.fromkeys(("loss", "log_rmse")[: self.counts], part.fingerprint)

    def final_metrics(self, name: str, model: nn.Module, part: Any, size: int) -> dict[str, float]:
        """None."""
        return {}

    def weight_metrics(self, model: nn.Module) -> dict[str, float]:
        """Return ‖w‖₂ of a linear model, which weight decay moves towards 0 (book 4.5)."""
        return {"weight_norm": model.weight.detach().norm().item()} if isinstance(model, nn.Linear) else {}

    def stuck(self, records: list[dict[str, Any]]) -> bool:
        """Return False during training; the comparison with ``floor`` is made at the end."""
        return False

    def floor(self, train: TableSubset, part: TableSubset) -> float:
        mean = train.targets[train.index].cpu().double().mean()
        loss = (part.targets[part.index].cpu().double() - mean).square().mean().item()
        return sqrt(loss) if self.scale else loss

    def at_chance(self, error: float, floor: float) -> bool:
        return error >= floor
