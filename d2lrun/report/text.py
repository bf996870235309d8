"""Format words and numbers for people, for any terminal."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.counts import counted
from d2lrun.streams import hush, visible

if TYPE_CHECKING:
    from rich.console import Console

ASCII = str.maketrans(
    {"✓": "ok", "✗": "NO", "×": "x", "→": "->", "–": "-", "±": "+-", "§": "", "█": "#", "★": "*", "…": "...", "‖": "||"}
)
LONG = 8  # a number in a config with more characters is rounded


def printable(console: Console, text: object) -> str:
    """Return ``text`` in characters that the console can encode: ✓ becomes ok; others and controls are escaped."""
    words = visible(str(text))
    try:
        words.encode(console.encoding)
        return words
    except UnicodeEncodeError:  # LANG=C, an old code page, a file name that is no text
        return words.translate(ASCII).encode(console.encoding, "backslashreplace").decode(console.encoding)


def say(console: Console, text: str) -> None:
    """Print one line without markup and without wrapping, so that a path can be copied."""
    from rich.text import Text

    console.print(Text(printable(console, text)), soft_wrap=True)


@contextlib.contextmanager
def listened_to() -> Iterator[None]:
    """Ignore a closed stdout, as after ``| head``, and keep working."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        hush(sys.stdout)


@contextlib.contextmanager
def optional(path: Path, tell: Callable[[str], object]) -> Iterator[None]:
    """Continue without the picture or page at ``path`` if it cannot be made; ``tell`` gets a line with the reason."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        tell(f"{path.name} is missing: {type(error).__name__}" + (f": {reason}" if reason else ""))


def duration(seconds: float) -> str:
    """Return a duration as 0.3 s, 3 min 20 s, or 2 h 5 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Return a size as 47.0 MB (47,040,000 bytes)."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit} ({counted(count, 'byte')})"
    return counted(count, "byte")


def measured(value: float | None) -> str:
    """Return a metric as 0.853, 212,345, or 1.2e+09; nan for null."""
    if value is None or not math.isfinite(value):
        return "nan" if value is None else str(value)
    size = abs(value)
    if size >= 1e7 or 0 < size < 1e-3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3f}"


def spread(mean: float | None, std: float | None) -> str:
    """Return 0.853 ± 0.004: ``std`` has one digit (two if it begins with 1), and the mean ends at the same digit."""
    if mean is None or std is None or not (math.isfinite(mean) and math.isfinite(std)):
        return measured(mean)
    if std <= 0:
        return f"{measured(mean)} ± 0"
    power = math.floor(math.log10(std))
    digits = (std < 2 * 10**power) - power
    if digits > 6 or max(abs(mean), std) >= 1e7:
        return f"{round(mean, digits):.6g} ± {round(std, digits):.2g}"
    if digits < 0:  # 83,139 ± 1,912 is 83,100 ± 1,900
        mean, std = round(mean, digits), round(std, digits)
    return f"{mean:,.{max(0, digits)}f} ± {std:,.{max(0, digits)}f}"


def setting(value: Any) -> str:
    """Return a value of the config as typed: 0.1, true, [256,128]; long numbers are rounded."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return text if len(text := repr(value)) <= LONG else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(setting, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)


def settings(values: dict[str, Any], names: dict[str, str]) -> str:
    """Return 'model=mlp lr=0.1'; ``names`` is the result of ``short_names``."""
    return " ".join(f"{names.get(key, key)}={setting(value)}" for key, value in values.items())


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return each key with as few of its last parts as make it unique: {"optimizer.lr": "lr", "model": "model"}."""
    keys = list(dict.fromkeys(keys))
    parts = {key: 2 if key.endswith(".name") else 1 for key in keys}  # "name" alone is unclear

    def name(key: str) -> str:
        return ".".join(key.split(".")[-parts[key] :])

    while True:
        names = [name(key) for key in keys]
        alike = [key for key in keys if names.count(name(key)) > 1 and name(key) != key]
        if not alike:
            return dict(zip(keys, names, strict=True))
        for key in alike:
            parts[key] += 1


def from_here(path: Path) -> str:
    """Return the path from the working directory if it is inside it, else as it is."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def shortened(text: str, length: int) -> str:
    """Return the text with at most ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"
