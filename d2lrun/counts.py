"""Counts in words: 1 thread, 2 threads."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Return '1 run' or '1,200 runs'; ``many`` is the plural, by default ``one`` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
