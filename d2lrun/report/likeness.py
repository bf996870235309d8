"""Which rows of a table can be ranked beside each other: those whose metric was measured on the same examples.

A row stands for one run or for several, such as the seeds of one setting; a set holds the fingerprints of what its
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
TIE = 1e-9  # relative difference of two values up to which neither is better
PAIRS = 200  # rows among which the two that differ least are looked for


def whole(sets: Sequence[Measured]) -> Measured:
    """All parts that any of the rows was measured on."""
    return frozenset().union(*sets)


def alike(sets: Sequence[Measured]) -> bool:
    """Whether a row has all the parts, so that every other has the same or lacks some of them."""
    return not sets or whole(sets) in sets


@dataclass(frozen=True)
class Choice:
    """Which row is the best, by its place; those that tie with it; those that lack parts; and why there is no best."""

    first: int | None = None
    tied: tuple[int, ...] = ()
    lacking: tuple[int, ...] = ()
    why: str | None = None


def choose(values: Sequence[float], sets: Sequence[Measured], at_chance: Sequence[bool]) -> Choice:
    """The best of rows that are alike: the one with the lowest value, of those that have all the parts.

    A row at chance is never the best, and of rows that all tie none is.
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
    """The keys that make the sets differ; none if the flat ``configs`` are equal, as after a file was replaced.

    A key is a cause if two rows differ in nothing else. If no key is one alone, it is what tells apart the two rows of
    different sets that have most in common.
    """
    keys = [key for key in dict.fromkeys(key for config in configs for key in config) if varies(key, configs)]
    alone = [key for key in keys if is_cause(key, keys, sets, configs)]
    return alone or together(keys, sets, configs)


def varies(key: str, configs: Sequence[Mapping[str, Any]]) -> bool:
    return len({value(config, key) for config in configs}) > 1


def value(config: Mapping[str, Any], key: str) -> Hashable:
    return repr(config[key]) if key in config else None


def is_cause(key: str, keys: Sequence[str], sets: Sequence[Measured], configs: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two rows that differ in this key alone have different sets."""
    others: dict[tuple[Hashable, ...], Measured] = {}
    return any(
        others.setdefault(tuple(value(config, each) for each in keys if each != key), found) != found
        for found, config in zip(sets, configs, strict=True)
    )


def together(keys: Sequence[str], sets: Sequence[Measured], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that tell apart the two rows of different sets that differ in fewest, of the likeliest group of keys."""
    rows = list(zip(sets, configs, strict=True))[:PAIRS]
    differing = [
        [key for key in keys if value(one, key) != value(other, key)]
        for (found, one), (wanted, other) in combinations(rows, 2)
        if found != wanted
    ]
    fewest = min(differing, key=len, default=[])
    for group in TELLING:
        if chosen := [key for key in fewest if key.startswith(group)]:
            named = f"{group}name"  # another dataset has other keys, which say no more
            return [named] if named in chosen else chosen
    return fewest
