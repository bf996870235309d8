"""Which rows of a table can be ranked together: rows whose metric was measured on the same examples.

A row is one run or several, such as the seeds of one setting; its set has the fingerprints of the examples that its
metric was measured on (``identity.py``). Imports no torch.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isclose
from typing import Any, TypeAlias

Measured: TypeAlias = "frozenset[str]"
TELLING = ("dataset.", "validation.", "train.", "seed", "model.")  # groups of keys, the likeliest cause first
TIE = 1e-9  # two values with at most this relative difference are equal
PAIRS = 200  # most rows in the search for the two that differ least


def whole(sets: Sequence[Measured]) -> Measured:
    """Return all parts that any of the rows was measured on."""
    return frozenset().union(*sets)


def alike(sets: Sequence[Measured]) -> bool:
    """Whether a row has all the parts, so every other row has the same parts or fewer."""
    return not sets or whole(sets) in sets


@dataclass(frozen=True)
class Choice:
    """The index of the best row; the rows that tie with it; the rows that lack parts; and why there is no best."""

    first: int | None = None
    tied: tuple[int, ...] = ()
    lacking: tuple[int, ...] = ()
    why: str | None = None


def choose(values: Sequence[float], sets: Sequence[Measured], at_chance: Sequence[bool]) -> Choice:
    """Choose the best of comparable rows: the lowest value among the rows with all parts.

    A row at chance is never the best. If all rows tie, there is no best.
    """
    lacking = tuple(place for place, found in enumerate(sets) if found != whole(sets))
    full = [place for place in range(len(values)) if place not in lacking]
    better = [place for place in full if not at_chance[place]]
    if not better:
        return Choice(lacking=lacking, why="none is better than chance" if full else None)
    first = min(better, key=lambda place: (values[place], place))
    tied = tuple(place for place in better if isclose(values[place], values[first], rel_tol=TIE) and place != first)
    if tied and len(tied) + 1 == len(better):
        return Choice(lacking=lacking, why=f"all {len(better)} tie, so none is the best")
    return Choice(first, tied, lacking)


def causes(sets: Sequence[Measured], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that make the sets differ; none if the flat ``configs`` are equal, as after a file changed.

    A key is a cause if two rows differ only in this key. If there is no such key, the causes are the keys in which the
    two most similar rows of different sets differ.
    """
    keys = [key for key in dict.fromkeys(key for config in configs for key in config) if varies(key, configs)]
    alone = [key for key in keys if is_cause(key, keys, sets, configs)]
    return alone or together(keys, sets, configs)


def varies(key: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the key differs between the configs."""
    return len({value(config, key) for config in configs}) > 1


def value(config: Mapping[str, Any], key: str) -> Hashable:
    """Return the value of a key in a form that can be hashed; None if it is missing."""
    return repr(config[key]) if key in config else None


def is_cause(key: str, keys: Sequence[str], sets: Sequence[Measured], configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two rows that differ only in this key have different sets."""
    others: dict[tuple[Hashable, ...], Measured] = {}
    return any(
        others.setdefault(tuple(value(config, each) for each in keys if each != key), found) != found
        for found, config in zip(sets, configs, strict=True)
    )


def together(keys: Sequence[str], sets: Sequence[Measured], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the differing keys of the two most similar rows of different sets, from the likeliest group of keys."""
    rows = list(zip(sets, configs, strict=True))[:PAIRS]
    differing = [
        [key for key in keys if value(one, key) != value(other, key)]
        for (found, one), (wanted, other) in combinations(rows, 2)
        if found != wanted
    ]
    fewest = min(differing, key=len, default=[])
    for group in TELLING:
        if chosen := [key for key in fewest if key.startswith(group)]:
            named = f"{group}name"  # another dataset has other keys, which add no information
            return [named] if named in chosen else chosen
    return fewest
