"""What a text holds: lines, tokens, the commonest words and their pairs and triples (book 8.2, 8.3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from d2lrun.tasks.language_model.corpus import Vocabulary, tokenise

ORDERS = {"unigrams": 1, "bigrams": 2, "trigrams": 3}
TOP = 10
# Chinese and Japanese are written without spaces: there each character counts as a word.
IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(f"[{IDEOGRAPH}]|[^\\s{IDEOGRAPH}]+")


@dataclass(frozen=True)
class Grams:
    """The sequences of so many words that occur in a text."""

    commonest: list[tuple[str, int]]  # the first ten; equally common ones as they first appear
    frequencies: list[int]  # of every type, falling

    @property
    def types(self) -> int:
        return len(self.frequencies)


@dataclass(frozen=True)
class Facts:
    """All counts are of the whole text."""

    lines: int
    empty: int  # of these lines
    tokens: int
    types: int  # different tokens
    vocabulary: int  # those of them that the network knows, with <unk> and the reserved ones
    words: int
    grams: dict[str, Grams]  # by the names of ORDERS


def facts_of(lines: Sequence[str], kind: str, vocabulary: Vocabulary) -> Facts:
    """Count cleaned lines, whose tokens are of that kind."""
    counts: Counter[str] = Counter()
    for tokens in tokenise(lines, kind):
        counts.update(tokens)
    words = words_of(lines, kind)
    return Facts(
        lines=len(lines),
        empty=sum(not line.strip() for line in lines),
        tokens=counts.total(),
        types=len(counts),
        vocabulary=len(vocabulary),
        words=len(words),
        grams={name: grams(words, order) for name, order in ORDERS.items()},
    )


def words_of(lines: Sequence[str], kind: str) -> list[str]:
    """The words of all lines: the tokens where these are words."""
    if kind == "char":
        return [word for line in lines for word in WORD.findall(line)]
    return [token for tokens in tokenise(lines, kind) for token in tokens if not token.isspace()]


def grams(words: Sequence[str], order: int) -> Grams:
    """The sequences of ``order`` words; they run on over the ends of lines, as in the book."""
    counts = Counter(zip(*(words[start:] for start in range(order))))
    ranked = counts.most_common()
    return Grams([(" ".join(gram), count) for gram, count in ranked[:TOP]], [count for _, count in ranked])
