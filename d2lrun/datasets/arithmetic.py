"""Calculations and their results, such as 12+35 and 47: questions with one right answer, made by a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.locate import Progress, Say
from d2lrun.errors import Refused
from d2lrun.tasks.translation.pairs import PairDataset, build

BLOCK = 1024  # calculations that are drawn at a time
FEW = 10**6  # so many calculations are all shuffled


def load(
    digits: int,
    operators: Sequence[str],
    n_train: int,
    n_test: int,
    seed: int,
    batches: str,
    say: Say = lambda line: None,
    progress: Progress | None = None,
) -> PairDataset:
    """Return calculations with two numbers of at most ``digits`` digits, each with the same probability.

    No calculation occurs twice, in training and test together. The test calculations do not depend on their number in
    training. The pool ``longer`` has ``n_test`` calculations with two numbers of one digit more. Raises Refused if
    there are not so many calculations.
    """
    operators = tuple(dict.fromkeys(operators))
    if not operators:
        raise Refused("dataset.operators=[]: nothing to calculate", "dataset.operators=[+]")
    most = len(operators) * 100**digits
    if n_train + n_test > most:
        raise Refused(
            f"dataset.n_train={n_train} and dataset.n_test={n_test}: there are only {most:,} calculations",
            f"dataset.digits={digits + 1}, or fewer",
        )
    drawn = draw(np.random.default_rng([seed, 0]), operators, 0, 10**digits, n_test + n_train)
    longer = draw(np.random.default_rng([seed, 1]), operators, 10**digits, 10 ** (digits + 1), n_test)
    pools = {"test": drawn[:n_test], "train": drawn[n_test:], "longer": longer}
    source = f"made by seed {seed}"
    return build(
        "arithmetic",
        pools,
        source,
        ("char", "char"),
        rule="book",
        min_freq=1,
        steps=None,
        batches=batches,
        loss="token",
        metric="exact_match",
        contents=tuple(Content(source, fingerprint("\n".join(map(" ".join, rows)))) for rows in pools.values()),
    )


def draw(rng: np.random.Generator, operators: Sequence[str], low: int, high: int, count: int) -> list[tuple[str, str]]:
    """Return ``count`` different calculations with numbers from ``low`` up to ``high``, and their results.

    The first ones do not depend on ``count``.
    """
    total = len(operators) * (high - low) ** 2
    numbers = iter(rng.permutation(total).tolist()) if total <= FEW else repeatedly(rng, total)
    found: dict[int, None] = {}
    while len(found) < count:
        found[next(numbers)] = None
    return [calculation(number, operators, low, high) for number in found]


def repeatedly(rng: np.random.Generator, total: int) -> Iterator[int]:
    """Yield random numbers below ``total``; a number may come again."""
    while True:
        yield from rng.integers(total, size=BLOCK).tolist()


def calculation(number: int, operators: Sequence[str], low: int, high: int) -> tuple[str, str]:
    """Return the calculation of a number, and its result."""
    number, which = divmod(number, len(operators))
    first, second = (low + part for part in divmod(number, high - low))
    result = {"+": first + second, "-": first - second, "*": first * second}[operators[which]]
    return f"{first}{operators[which]}{second}", str(result)
