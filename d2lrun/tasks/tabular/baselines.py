"""Predictions without a network: the mean or the commonest class, and a linear model. n rows, D features, K classes.

Their metric is the one that is compared with guessing: accuracy, the root mean squared error, or the loss.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor
from torch.nn import functional as F

from d2lrun.tasks.tabular.table import TableSubset
from d2lrun.training.optim import plain

PENALTY = 1.0  # of the squared weights, beside the summed loss: the usual default, as scikit-learn's
STEPS = 200  # most steps of the logistic regression
LARGEST = 1 << 26  # numbers of the training features, beyond which a linear model takes too long


def baselines(train: TableSubset, part: TableSubset, constant: float) -> dict[str, float]:
    """Return the metric on ``part`` of each baseline, fitted on ``train``; ``constant`` is the best constant's."""
    data = train.data
    name = "commonest class" if data.classes else "mean"
    found = {name: constant}
    if train.features.numel() > LARGEST:
        return found
    rows, others = (each.features[each.index].cpu().double() for each in (train, part))
    targets, truth = (each.targets[each.index].cpu() for each in (train, part))
    if data.classes:
        predicted = logistic(rows, targets, data.outputs)(others)
        return {**found, "logistic regression": (predicted == truth).double().mean().item()}
    error = (ridge(rows, targets.double())(others) - truth.double()).square().mean().item()
    return {**found, "linear regression": sqrt(error) if data.scale else error}


class Ridge:
    """Linear regression with the penalty on its weights, by its closed form."""

    def __init__(self, features: Tensor, targets: Tensor):
        self.centre, self.mean = features.mean(dim=0), targets.mean(dim=0)
        rows = features - self.centre
        gram = rows.T @ rows + PENALTY * torch.eye(rows.shape[1], dtype=rows.dtype)
        self.weights = torch.linalg.solve(gram, rows.T @ (targets - self.mean))  # [D, 1]

    def __call__(self, features: Tensor) -> Tensor:
        """Return the predictions [n, 1]."""
        return (features - self.centre) @ self.weights + self.mean


def ridge(features: Tensor, targets: Tensor) -> Ridge:
    """Return the linear regression of targets [n, 1] on features [n, D]."""
    return Ridge(features, targets)


class Logistic:
    """Softmax regression with the penalty on its weights, by L-BFGS from weights of 0."""

    def __init__(self, features: Tensor, classes: Tensor, count: int):
        self.weights = torch.zeros(features.shape[1], count, dtype=features.dtype, requires_grad=True)
        self.bias = torch.zeros(count, dtype=features.dtype, requires_grad=True)
        search = plain(torch.optim.LBFGS)([self.weights, self.bias], max_iter=STEPS, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            search.zero_grad()
            logits = features @ self.weights + self.bias
            loss = F.cross_entropy(logits, classes, reduction="sum") + PENALTY / 2 * self.weights.square().sum()
            loss.backward()
            return loss

        search.step(objective)

    @torch.no_grad()
    def __call__(self, features: Tensor) -> Tensor:
        """Return the predicted classes [n]."""
        return (features @ self.weights + self.bias).argmax(dim=1)


def logistic(features: Tensor, classes: Tensor, count: int) -> Logistic:
    """Return the softmax regression of ``count`` classes int64 [n] on features [n, D]."""
    return Logistic(features, classes, count)
