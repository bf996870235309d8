"""Shorten names of runs and values: cut the middle, since beginnings and ends distinguish them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len


def middle(text: str, length: int) -> str:
    """Return ``text`` in at most ``length`` cells (a Chinese character takes two); a longer text loses its middle."""
    if cell_len(text) <= length:
        return text
    ends = ["", ""]
    left, right = list(text), list(reversed(text))
    for place in range(len(text)):
        rest, own = ((left, 0), (right, 1))[place % 2]
        added = rest[len(ends[own])]
        if cell_len(ends[0]) + cell_len(ends[1]) + cell_len(added) + 1 > length:
            break
        ends[own] = ends[own] + added if own == 0 else added + ends[own]
    return f"{ends[0]}…{ends[1]}"


def uncommon(texts: Sequence[str]) -> list[str]:
    """Return the ``texts`` without the words that all of them share."""
    shared = set.intersection(*(set(text.split()) for text in texts)) if len(texts) > 1 else set()
    return [" ".join(word for word in text.split() if word not in shared) or text for text in texts]
