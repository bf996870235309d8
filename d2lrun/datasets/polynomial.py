"""A polynomial with noise (book 4.4): the number of terms that a model uses decides whether it under- or overfits.

N rows, D terms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from d2lrun.datasets.made import draw, tensor
from d2lrun.disk.content import made
from d2lrun.disk.locate import Progress, Say
from d2lrun.tasks.tabular.encoding import Field
from d2lrun.tasks.tabular.table import Line, TableDataset

GRID = 400  # points of the drawn line


def load(
    degree: int,
    coefficients: Sequence[float],
    n_train: int,
    n_test: int,
    noise: float,
    seed: int,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> TableDataset:
    """y = Σ cᵢ xⁱ/i! + noise · N(0, 1) with x ~ N(0, 1); the features are the first ``degree`` of 1, x, x²/2!, …

    The rows depend only on ``seed``: models of any degree see the same points, and a larger training set contains the
    smaller one.
    """
    parts = {}
    for place, (name, count) in enumerate({"train": n_train, "test": n_test}.items()):
        x, errors = draw(seed, place, count, 1)
        parts[name] = x[:, 0], curve(x[:, 0], coefficients) + noise * errors
    features = {name: tensor(terms(x, degree)) for name, (x, _) in parts.items()}  # [N, D]
    targets = {name: tensor(y)[:, None] for name, (_, y) in parts.items()}  # [N, 1]
    points = parts["train"][0]
    contents = {name: made(f"made by seed {seed}", x, y) for name, (x, y) in parts.items()}
    grid = np.linspace(points.min(), points.max(), GRID)
    line = Line(tensor(points), tensor(grid), tensor(terms(grid, degree)), tensor(curve(grid, coefficients)))
    return TableDataset(
        "polynomial",
        *(features["train"], targets["train"], features["test"], targets["test"]),
        source=f"made by seed {seed}",
        fields=tuple(Field(f"x^{power}/{power}!") for power in range(degree)),
        line=line,
        contents=tuple(contents.values()),
        pools={name: content.sha256 for name, content in contents.items()},
    )


def terms(x: np.ndarray, count: int) -> np.ndarray:
    """x [N] -> xⁱ/i! [N, count] for i = 0, 1, …; without the division, high powers make very large gradients."""
    powers = np.arange(1, count)
    steps = x[:, None] / powers  # each term is the term before, times x/i
    return np.cumprod(np.concatenate((np.ones((len(x), 1)), steps), axis=1), axis=1)[:, :count]


def curve(x: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the polynomial at x [N], without noise."""
    return terms(x, len(coefficients)) @ np.asarray(coefficients, float)
