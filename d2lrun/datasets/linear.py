"""A linear function with noise; by default it has more inputs than training rows, so models overfit (book 3.2, 4.5).

N rows, D inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from d2lrun.datasets.made import draw, tensor
from d2lrun.disk.content import made
from d2lrun.disk.locate import Progress, Say
from d2lrun.tasks.tabular.encoding import Field
from d2lrun.tasks.tabular.table import TableDataset


def load(
    inputs: int,
    weights: Sequence[float],
    bias: float,
    n_train: int,
    n_test: int,
    noise: float,
    seed: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TableDataset:
    """y = x·w + b + noise · N(0, 1) with x ~ N(0, 1)^D; ``weights`` has one value for all inputs or one for each.

    The inputs depend only on ``seed`` and on D, so a larger training set contains the smaller one.
    """
    slope = np.broadcast_to(np.asarray(weights, float), inputs)  # [D]
    tensors: list[tuple[Tensor, Tensor]] = []  # of what trains, then of what tests
    contents = []
    for place, count in enumerate((n_train, n_test)):
        x, errors = draw(seed, place, count, inputs)
        y = x @ slope + bias + noise * errors  # [N]
        tensors.append((tensor(x), tensor(y)[:, None]))  # [N, D], [N, 1]
        contents.append(made(f"made by seed {seed}", x, y))
    fields = tuple(Field(f"x{number}") for number in range(1, inputs + 1))
    return TableDataset(
        "linear",
        *tensors[0],
        *tensors[1],
        source=f"made by seed {seed}",
        fields=fields,
        contents=tuple(contents),
        pools=dict(zip(("train", "test"), (content.sha256 for content in contents), strict=True)),
    )
