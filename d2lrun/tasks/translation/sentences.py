"""Sentences as tokens, and tokens as sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence

from d2lrun.text.corpus import tokenise, untokenise

SPACES = re.compile("[\u202f\xa0]")  # that French has before ! and ?
GLUED = re.compile("(?<=[^ ])[,.!?]")  # a mark after a character that is no space


def clean(text: str, rule: str) -> str:
    """Return the text by the ``rule``.

    book: in lower case, with a space before each of , . ! ? that is not the first character (book 9.5.1).
    lower: in lower case. none: unchanged. These two have single spaces between words, and none at the ends.
    """
    if rule == "book":
        return GLUED.sub(r" \g<0>", SPACES.sub(" ", text).lower())
    return " ".join((text.lower() if rule == "lower" else text).split())


def tokens_of(sentence: str, kind: str) -> list[str]:
    """Return the tokens of a clean sentence. Words are between single spaces: as in the book, two spaces give ""."""
    if kind == "word":
        return sentence.split(" ") if sentence else []
    return next(tokenise([sentence], kind))


def sentence_of(tokens: Sequence[str], kind: str) -> str:
    """Return the tokens as one text."""
    return untokenise(tokens, kind)
