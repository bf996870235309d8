"""BLEU: how many sequences of n tokens a translation shares with its references (Papineni et al. 2002).

Two measures: the book's, of one sentence (9.7.5), and that of sacrebleu, of all sentences together, from 0 to 100.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import zip_longest
from math import exp
from typing import Any

INSTALL = "pip install 'd2lrun[translation]'"


def book_bleu(output: Sequence[str], target: Sequence[str], k: int = 2) -> float:
    """Return the book's BLEU of one translation, from 0 to 1: exp(min(0, 1 − |target| / |output|)) Π_n p_n^(1/2^n).

    p_n is the share of the sequences of n tokens in the output that are in the target, each there at most once. An
    output with fewer than n tokens has p_n = 0; the book's code fails.
    """
    if not output:
        return 0.0
    score = exp(min(0.0, 1 - len(target) / len(output)))
    for n in range(1, k + 1):
        found, wanted = grams(output, n), grams(target, n)
        score *= ((found & wanted).total() / max(1, found.total())) ** 0.5**n
    return score


def grams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """Return how often each sequence of n tokens occurs."""
    return Counter(zip(*(tokens[start:] for start in range(n))))


@cache
def has_sacrebleu() -> bool:
    """Whether sacrebleu is installed."""
    return find_spec("sacrebleu") is not None


def corpus_bleu(outputs: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """Return sacrebleu's BLEU of tokens, from 0 to 100; each output has one or several references.

    The tokens are those of the dataset: sacrebleu does not divide them again.
    """
    from sacrebleu.metrics import BLEU

    streams: Any = [[None if each is None else " ".join(each) for each in row] for row in zip_longest(*references)]
    return float(BLEU(tokenize="none", force=True).corpus_score([*map(" ".join, outputs)], streams).score)
