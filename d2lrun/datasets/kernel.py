"""Points of a curve with noise, each row with all the points that may answer for it (book 10.2).

N rows, P training points, G points of the drawn line.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from d2lrun.datasets.made import draw, tensor
from d2lrun.disk.content import made
from d2lrun.disk.locate import Progress, Say
from d2lrun.tasks.tabular.encoding import Field
from d2lrun.tasks.tabular.table import Line, TableDataset

RANGE = 5.0  # x is from 0 up to this
GRID = 400  # points of the drawn line


def load(
    n_train: int,
    n_test: int,
    noise: float,
    seed: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TableDataset:
    """y = 2·sin x + x^0.8 + noise · N(0, 1) with x ~ U(0, 5), in order; the test points are even, without noise.

    A row [P, 3] is x, xᵢ and yᵢ for each training point i. With a validation part, only the points that train answer.
    """
    x = np.sort(np.random.default_rng([seed, 0, 0]).random(n_train)) * RANGE  # [P]
    y = curve(x) + noise * draw(seed, 0, n_train, 1)[1]
    even = np.arange(n_test) * RANGE / n_test  # as in the book: 0, 0.1, … for 50
    grid = np.linspace(0, RANGE, GRID)
    points = tensor(np.stack((x, y), axis=1))  # [P, 2]
    everything = torch.arange(n_train)
    content = made(f"made by seed {seed}", x, y)
    test = made(f"made by seed {seed}", even, curve(even))
    return TableDataset(
        "kernel",
        rows(tensor(x), points, everything),
        points[:, 1:],
        rows(tensor(even), points, everything),
        tensor(curve(even))[:, None],
        source=f"made by seed {seed}",
        fields=(Field("x, and each point", width=3 * n_train),),
        prepare=partial(prepare, tensor(x), tensor(even), points),
        line=Line(
            points[:, 0],
            tensor(grid),
            rows(tensor(grid), points, everything),
            tensor(curve(grid)),
            partial(rows, tensor(grid), points),
        ),
        contents=(content, test),
        pools={"train": content.sha256, "test": test.sha256},
    )


def curve(x: np.ndarray) -> np.ndarray:
    """Return 2·sin x + x^0.8, without noise."""
    return 2 * np.sin(x) + x**0.8


def rows(x: Tensor, points: Tensor, index: Tensor) -> Tensor:
    """Return for each x [N] a row [n, 3]: x beside the ``points`` [P, 2] of the ``index`` [n]."""
    chosen = points[index].expand(len(x), -1, -1)  # [N, n, 2]
    return torch.cat((x[:, None, None].expand(-1, len(index), 1), chosen), dim=2)


def prepare(train: Tensor, test: Tensor, points: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of the training points and of the test points, with the training points ``index`` [n] only."""
    return rows(train, points, index), rows(test, points, index)
