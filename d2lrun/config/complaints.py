"""What is wrong with a configuration: all complaints are collected, then told in one message."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from d2lrun.errors import Refused


@dataclass(frozen=True)
class Complaint:
    """``given`` is what the user wrote (key or key=value); ``wanted`` says what is correct.

    ``fix`` is the suggestion in a form that can be applied: KEY=VALUE replaces other values of that key, a bare KEY
    replaces the given key, "~" leaves the given one out, and "" is no suggestion.
    """

    given: str
    wanted: str
    fix: str = ""

    @property
    def key(self) -> str:
        """The key of ``given``."""
        return self.given.partition("=")[0]

    def __str__(self) -> str:
        return f"{one_line(self.given, 300)}: {one_line(self.wanted)}{mistyped(self.given)}"


def refuse(complaints: list[Complaint]) -> None:
    """Raise Refused with the complaints, if there are any."""
    if not complaints:
        return
    hint = "d2lrun --help lists the groups and options, d2lrun --cfg job prints every key"
    distinct = list(dict.fromkeys(complaints))
    message = str(distinct[0])
    if len(distinct) > 1:
        message = f"{len(distinct)} problems in the configuration" + "".join(f"\n  {each}" for each in distinct)
    refusal = Refused(message, hint)
    refusal.complaints = distinct
    raise refusal


def join(path: str, key: Any) -> str:
    """Return the full name of ``key`` below ``path``."""
    return f"{path}.{key}" if path else str(key)


def one_line(text: str, length: int = 1000) -> str:
    """Return a text with escapes for unprintable characters, cut after ``length`` characters."""
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:length])
    return visible + ("..." if len(text) > length else "")


def mistyped(text: str) -> str:
    """Return a remark if overrides are joined by another sign than a space, or signs are full-width.

    A Chinese or Japanese keyboard writes full-width forms of ASCII signs.
    """
    if re.match(r"[\w./@]+[=＝].*[,;，；、]\s*[\w./@]+[=＝]", text):
        return " (write a space between overrides)"
    letters = dict.fromkeys(letter for letter in text if "\uff01" <= letter <= "\uff5e")
    pairs = [f"{letter} is full-width, wanted {chr(ord(letter) - 0xFEE0)}" for letter in letters]
    return f" ({', '.join(pairs[:3])})" if pairs else ""


def shown(path: str, value: Any) -> str:
    """Return key=value as typed, cut to a readable length."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else str(value)
    return f"{path}={text if len(text) <= 60 else text[:57] + '...'}"
