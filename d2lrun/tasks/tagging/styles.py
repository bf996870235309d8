"""What tags mean: how a text becomes words, and how words with tags become a text again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

MARKS = ",.;:?!…"
CASES = ("lower", "Capital", "UPPER")
NO_MARK = "no mark"
DASHES = re.compile(r"--+|[—–]|\s-\s")
LETTERS = re.compile(r"\w+(?:['’.-]\w+)*")  # a word: don't, well-known, 3.14, e.g


class Style(NamedTuple):
    """``labels`` are what a tag says, each measured for itself: of restored text, the case and the mark."""

    labels: Callable[[str], tuple[str, ...]]
    words: Callable[[str], list[str]]  # of a text without tags
    write: Callable[[Iterable[str], Iterable[str]], str]  # words and their tags -> a text


# --- tags that stand beside the words --------------------------------------------------------------------------------


def paired(words: Iterable[str], tags: Iterable[str]) -> str:
    """Return word/tag word/tag."""
    return " ".join(f"{word}/{tag}" for word, tag in zip(words, tags))


# --- capitals and marks that are put back into a text ----------------------------------------------------------------


def stripped(text: str) -> tuple[list[str], list[str]]:
    """Return the words of a text in lower case, and for each the tag that ``restored`` needs to write it again.

    A tag is the case of the word and the first of ``MARKS`` after it, such as "Capital ,". Quotes, brackets and dashes
    are left out, and a word with other capitals, such as McDonald, becomes one with a capital first letter.
    """
    words, tags = [], []
    found = list(LETTERS.finditer(DASHES.sub(" ", text.replace("_", " ").replace("...", "…"))))
    ends = [each.start() for each in found[1:]] + [len(found[-1].string) if found else 0]
    for each, end in zip(found, ends):
        word, after = each.group(), each.string[each.end() : end]
        mark = next((sign for sign in after if sign in MARKS), "")
        words.append(word.lower())
        tags.append(f"{case_of(word)} {mark}".strip())
    return words, tags


def case_of(word: str) -> str:
    """Return one of ``CASES``; a single capital letter, such as I, is a capital first letter."""
    if not word[:1].isupper():
        return CASES[0]
    return CASES[2] if len(word) > 1 and word.isupper() else CASES[1]


def restored(words: Iterable[str], tags: Iterable[str]) -> str:
    """Return the text with the capitals and marks of the tags."""
    pieces = []
    for word, tag in zip(words, tags):
        case, _, mark = tag.partition(" ")
        written = {CASES[1]: word[:1].upper() + word[1:], CASES[2]: word.upper()}
        pieces.append(written.get(case, word) + mark)
    return " ".join(pieces)


def parts(tag: str) -> tuple[str, ...]:
    """Return the case and the mark of a tag; of an unknown tag, the tag for both."""
    case, _, mark = tag.partition(" ")
    return (case, mark or NO_MARK) if case in CASES else (tag, tag)


PLAIN = Style(lambda tag: (tag,), str.split, paired)
RESTORED = Style(parts, lambda text: stripped(text)[0], restored)


def style_of(dataset: str) -> Style:
    """Return the style of a dataset by its name."""
    return RESTORED if dataset == "restore" else PLAIN


def labels_of(style: Style, tags: Sequence[str]) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return the different labels of the tags, and for each tag the places of its labels in this list."""
    named = [style.labels(tag) for tag in tags]
    labels = list(dict.fromkeys(label for each in zip(*named) for label in each))
    places = {label: place for place, label in enumerate(labels)}
    return labels, [tuple(places[label] for label in each) for each in named]
