"""Statistics of a text: lines, tokens, the most frequent words, bigrams and trigrams (book 8.2, 8.3)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from d2lrun.text.corpus import tokenise
from d2lrun.text.vocabulary import Vocabulary

ORDERS = {"unigrams": 1, "bigrams": 2, "trigrams": 3}
TOP = 10
# Chinese and Japanese have no spaces between words, so each character counts as a word.
IDEOGRAPH = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(f"[{IDEOGRAPH}]|[^\\s{IDEOGRAPH}]+")


@dataclass(frozen=True)
class Grams:
    """The n-grams of words in a text, for one n."""

    commonest: list[tuple[str, int]]  # the ten most frequent; ties in order of first appearance
    frequencies: list[int]  # of every type, in descending order

    @property
    def types(self) -> int:
        """The number of different n-grams."""
        return len(self.frequencies)


@dataclass(frozen=True)
class Facts:
    """Counts over the whole text."""

    lines: int
    empty: int  # of these lines
    tokens: int
    types: int  # different tokens
    vocabulary: int  # tokens that the network knows, with <unk> and the reserved tokens
    words: int
    grams: dict[str, Grams]  # by the names of ORDERS


def facts_of(lines: Sequence[str], kind: str, vocabulary: Vocabulary) -> Facts:
    """Count cleaned lines with tokens of ``kind``."""
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
    """Return the words of all lines; if the tokens are words, the tokens."""
    if kind == "char":
        return [word for line in lines for word in WORD.findall(line)]
    return [token for tokens in tokenise(lines, kind) for token in tokens if not token.isspace()]


def grams(words: Sequence[str], order: int) -> Grams:
    """Return the n-grams of ``order`` words; they continue over line ends, as in the book."""
    counts = Counter(zip(*(words[start:] for start in range(order))))
    ranked = counts.most_common()
    return Grams([(" ".join(gram), count) for gram, count in ranked[:TOP]], [count for _, count in ranked])
