"""Convert text to numbers: clean lines, split them into tokens, and number the tokens. N tokens of a stream."""

from __future__ import annotations

import io
import re
import warnings
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np

from d2lrun.errors import Refused

KINDS = ("char", "word", "jieba")  # of tokens
RULES = ("letters", "lower", "none")  # of cleaning
NO_LETTERS = re.compile("[^A-Za-z]+")
BLOCK = 1 << 24  # characters that are encoded at a time, to limit the memory


# --- from a text to tokens -----------------------------------------------------------------------------------


def clean(text: str, rule: str) -> list[str]:
    """Return the cleaned lines of a text.

    letters: the book's rule; every character except a to z becomes a space, and line ends are removed. So, as in the
    book, the last word of a line and the first word of the next line are joined in the stream of characters.
    lower: in lower case, with line ends. none: unchanged, with line ends.
    """
    lines = io.StringIO(text.lower() if rule == "lower" else text, newline=None).readlines()
    if rule == "letters":
        return [NO_LETTERS.sub(" ", line).strip().lower() for line in lines]
    return lines


def tokenise(lines: Iterable[str], kind: str) -> Iterator[list[str]]:
    """Yield the tokens of each line."""
    plain: dict[str, Callable[[str], Iterable[str]]] = {"char": list, "word": str.split}
    split = chinese_words() if kind == "jieba" else plain[kind]
    for line in lines:
        yield list(split(line))


def untokenise(tokens: Iterable[str], kind: str) -> str:
    """Join ``tokens`` to a text."""
    return (" " if kind == "word" else "").join(tokens)


def prefix_tokens(text: str, kind: str, rule: str) -> list[str]:
    """Return the tokens of a prefix. No character is removed, so that unknown tokens can be reported."""
    cased = text if rule == "none" else text.lower()
    return [token for tokens in tokenise([cased], kind) for token in tokens]


@cache
def chinese_words() -> Callable[[str], Iterable[str]]:
    """Return jieba's segmentation, which keeps all characters of a line, including spaces."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its old source gives warnings in newer versions of Python
        try:
            import jieba
        except ImportError:
            raise Refused("dataset.kind=jieba: jieba is not installed", "pip install 'd2lrun[zh]'") from None
        tokenizer = jieba.Tokenizer()
        # jieba's default start reads a marshal file from the shared temporary folder, where any user can write.
        tokenizer.FREQ, tokenizer.total = tokenizer.gen_pfdict(tokenizer.get_dict_file())
        tokenizer.initialized = True
    return tokenizer.cut


# --- from tokens to numbers ----------------------------------------------------------------------------------


def number(lines: Sequence[str], kind: str) -> tuple[dict[str, int], np.ndarray, np.ndarray | None]:
    """Return {token: count} in order of first appearance, and the stream int32 [N] as indices into this order.

    Third, the character of the joined lines at which each token begins, int32 [N]; None if each is a character.
    """
    if kind == "char":
        return *number_characters("".join(lines)), None
    places: defaultdict[str, int] = defaultdict()
    places.default_factory = places.__len__  # a new token gets the next place
    stream, begins, line_begins = array("i"), array("i"), 0
    for line, tokens in zip(lines, tokenise(lines, kind), strict=True):
        stream.extend(map(places.__getitem__, tokens))
        begin = 0
        for token in tokens:
            begin = line.index(token, begin)
            begins.append(line_begins + begin)
            begin += len(token)
        line_begins += len(line)
    numbers = np.array(stream, np.int32)
    counts = dict(zip(places, np.bincount(numbers, minlength=len(places)).tolist(), strict=True))
    return counts, numbers, np.array(begins, np.int32)


def number_characters(text: str) -> tuple[dict[str, int], np.ndarray]:
    """``number`` for characters: look up each code point in a table, since a Python string takes 60 bytes."""
    counts = Counter(text)
    places = np.zeros(max(map(ord, counts), default=0) + 1, np.int32)
    places[list(map(ord, counts))] = np.arange(len(counts))
    numbers = np.empty(len(text), np.int32)
    for start in range(0, len(text), BLOCK):
        block = text[start : start + BLOCK].encode("utf-32-le", "surrogatepass")
        numbers[start : start + BLOCK] = places[np.frombuffer(block, np.uint32)]
    return dict(counts), numbers
