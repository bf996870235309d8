"""Predict the numbers of rows, and write submission.csv. N rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from torch import Tensor, nn

from d2lrun.disk import files
from d2lrun.tasks.regression.table import TableDataset
from d2lrun.training.evaluate import over_batches


def predictions(model: nn.Module, features: Tensor, size: int) -> Tensor:
    """Return the predictions [N] for rows [N, D] in batches of ``size``, on the CPU."""
    return over_batches(model, features.split(size))[:, 0].cpu()


def write_submission(path: Path, model: nn.Module, data: TableDataset, size: int) -> Tensor:
    """Write a csv in Kaggle's format: Id and prediction of each test row. Return the predictions [N].

    Predictions below 1 become 1, as in the error of the logarithms, since a logarithm needs a positive number.
    """
    predicted = predictions(model, data.test_features, size).clamp(min=1)  # [N]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("Id", data.target))
    writer.writerows((name, f"{value:.2f}") for name, value in zip(data.test_ids, predicted.tolist(), strict=True))
    files.write_atomic(path, text.getvalue())
    return predicted
