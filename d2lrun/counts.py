"""Counts in words: 1 thread, 2 threads."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """'1 run', '1,200 runs'; ``many`` is the plural if it is not ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
