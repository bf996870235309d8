"""Read tagged text of the user: a line for each word with columns (CoNLL), or word/tag pairs with a line a sentence."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from d2lrun.counts import counted
from d2lrun.errors import Refused

Sentence: TypeAlias = "tuple[list[str], list[str]]"  # words and their tags

BLANKS = " \t"
SPACES = re.compile(r"[ \t]+")
PAIR = re.compile(r"\S+/[^\s/]+")
LOOKED_AT = 1000  # first lines by which the format is recognised
UNIVERSAL = 10  # columns of CoNLL-U, which also has lines of several words (1-2) and of none (8.1)
NOT_ONE_WORD = re.compile(r"\d+[-.]\d+")
START = "-DOCSTART-"
SHOWN = 60  # most characters of a line in a message


@dataclass
class Tagged:
    """The sentences of a file, and how it was read."""

    format: str  # columns or slashes
    sentences: list[Sentence]
    skipped: Counter[str] = field(default_factory=Counter)  # kinds of lines without a word

    def __str__(self) -> str:
        left = "".join(f", {counted(number, kind)} skipped" for kind, number in self.skipped.items())
        return f"{counted(len(self.sentences), 'sentence')} in the format {self.format}{left}"


def read(origin: str, text: str, format: str, token: int, tag: int) -> Tagged:
    """Return the sentences of a text; ``format`` is columns, slashes, or auto: the text decides.

    ``token`` and ``tag`` are the columns, from 1, or from -1 backwards. Raises Refused with the line that is wrong.
    """
    lines = [line.rstrip(" \t\n") for line in io.StringIO(text, newline=None)]
    if format == "auto":
        format = recognised(lines)
    if format == "slashes":
        if (token, tag) != (1, -1):
            raise Refused(
                f"{origin}: dataset.token={token} and dataset.tag={tag} are columns, and it has word/tag pairs",
                "leave them out, or give dataset.format=columns",
            )
        return Tagged(format, list(from_pairs(origin, lines)))
    return from_columns(origin, lines, token, tag)


def recognised(lines: Sequence[str]) -> str:
    """Return slashes if every word in the first lines is a pair word/tag, else columns."""
    first = [line for line in lines[:LOOKED_AT] if line]
    return "slashes" if first and all(PAIR.fullmatch(item) for line in first for item in items(line)) else "columns"


def items(line: str) -> list[str]:
    """Return the parts of a line between spaces and tabs. Other spaces, such as that of Chinese, belong to a word."""
    return SPACES.split(line.strip(BLANKS))


def from_pairs(origin: str, lines: Sequence[str]) -> Iterator[Sentence]:
    """Yield the sentence of each line that is not empty; a word may contain a slash."""
    for number, line in enumerate(lines, 1):
        if line.strip(BLANKS):
            pairs = [item.rpartition("/") for item in items(line)]
            for word, _, tag in pairs:
                if not word or not tag:
                    raise wrong(origin, number, line, "a word without a tag; wanted word/tag word/tag …")
            yield [word for word, _, _ in pairs], [tag for *_, tag in pairs]


def from_columns(origin: str, lines: Sequence[str], token: int, tag: int) -> Tagged:
    """Return the sentences of lines with a word each; an empty line ends a sentence.

    Columns are separated by tabs if every line has one, else by tabs and spaces. A line that begins with # and has not
    the columns of the others is a comment.
    """
    used = [line for line in lines if line and not line.startswith((START, "#"))]
    tabs = bool(used) and all("\t" in line for line in used)
    rows = [[cell.strip(" ") for cell in line.split("\t")] if tabs else items(line) for line in lines]
    width = len(next((row for line, row in zip(lines, rows) if line and not line.startswith((START, "#"))), []))
    if used and width < 2:
        number = lines.index(used[0]) + 1
        raise wrong(origin, number, used[0], "one column; wanted a word and its tag, separated by a tab or spaces")
    for name, column in (("token", token), ("tag", tag)):
        if used and not -width <= column <= width:
            raise Refused(f"dataset.{name}={column}: {origin} has {width} columns", f"give -{width} to {width}")
    found, words, tags = Tagged("columns", []), [], []
    places = [column - 1 if column > 0 else column for column in (token, tag)]
    for number, (line, row) in enumerate(zip(lines, rows), 1):
        kind = kind_of(line, row, width)
        if kind is None:
            if len(row) != width:
                what = f"{counted(len(row), 'column')}, wanted {width} as in the lines before"
                raise wrong(origin, number, line, what)
            word, name = (row[place] for place in places)
            if not word or not name:
                raise wrong(origin, number, line, "an empty word or tag")
            words.append(word)
            tags.append(name)
            continue
        if kind:
            found.skipped[kind] += 1
        if kind in ("", f"{START} line") and words:
            found.sentences.append((words, tags))
            words, tags = [], []
    if words:
        found.sentences.append((words, tags))
    return found


def kind_of(line: str, row: Sequence[str], width: int) -> str | None:
    """Return what a line without a word of its own is: "" for an empty line; None for a line with a word."""
    if not line:
        return ""
    if line.startswith(START):
        return f"{START} line"
    if line.startswith("#") and len(row) != width:
        return "comment"
    if width == UNIVERSAL and NOT_ONE_WORD.fullmatch(row[0]):
        return "multi-word or empty-node line"
    return None


def wrong(origin: str, number: int, line: str, what: str) -> Refused:
    """Return the Refused for a line, counted from 1."""
    shown = line if len(line) <= SHOWN else f"{line[:SHOWN]}…"
    return Refused(f"{origin}, line {number}: {what}: {shown!r}", "correct the line, or name the dataset.format")
