"""How words and numbers are written for people, on whatever terminal they have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

ASCII = str.maketrans({"✓": "ok", "✗": "NO", "×": "x", "→": "->", "–": "-", "±": "+-", "§": "", "█": "#"})


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and newline: they may command a terminal


def printable(console: Console, text: object) -> str:
    """``text`` in characters that the console can encode: ✓ becomes ok, the unknown its escape, as do controls."""
    words = CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", str(text))
    try:
        words.encode(console.encoding)
        return words
    except UnicodeEncodeError:  # LANG=C, an old code page, a file name that is no text
        return words.translate(ASCII).encode(console.encoding, "backslashreplace").decode(console.encoding)


def say(console: Console, text: str) -> None:
    """Print one line: markup is not read and nothing is wrapped, so that a path is copied in one piece."""
    from rich.text import Text

    console.print(Text(printable(console, text)), soft_wrap=True)


def duration(seconds: float) -> str:
    """0.3 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """47.0 MB (47,040,000 bytes)."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit} ({count:,} bytes)"
    return f"{count:,} bytes"
