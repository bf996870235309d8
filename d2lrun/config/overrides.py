"""Convert a word of the command line, KEY=VALUE as the user typed it, to Hydra's grammar.

Hydra's grammar reads 2024 as a number, refuses text such as 红楼梦.txt or ``my file (1).txt`` without quotes, and
needs minutes or fails for values that are very long or deeply nested. ``readable`` adds quotes to text: to every value
of a key that holds text, and to values of other keys that the grammar cannot read. The schema then checks the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from d2lrun.config import schema

# Keys of Hydra: names with dots, or a group with slashes; a package after @.
KEY = re.compile(r"[~+]{0,2}[\w$-]*(?:[./][\w$-]+){0,15}(?:@[\w$.-]*)?", re.ASCII)
FOLDERS = ("run.root", "run.dir")  # never swept: a comma is part of the name, also in a sweep
FUNCTION = re.compile(r"(choice|range|interval|glob|sort|shuffle|tag|str|int|float|bool)\((.*)\)", re.DOTALL)
OF_TEXTS = ("choice", "sort", "shuffle", "tag")  # functions whose arguments are values of the key
ARGUMENT = re.compile(r"((?:list|reverse|seed|tags|exclude|start|stop|end|step)\s*=\s*)?(.*)", re.DOTALL)
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
PLAIN = re.compile(r"[\w./*-]+", re.ASCII)  # Hydra reads it as the same text, if it is no number
REFERENCE = re.compile(r"\$\{\s*(?:[\w.]+:|\.|(\w+)[^}]*\})")  # ${resolver:…}, ${.relative}, ${group.key}
DEEPEST, LONGEST = 32, 300  # most levels of brackets, and most letters of an unquoted value, for Hydra's parser
BRACKETS = {"[": "]", "(": ")", "{": "}"}


def is_key(text: str) -> bool:
    """Whether a text is the left side of an override."""
    return KEY.fullmatch(text) is not None


def is_hydras(word: str) -> bool:
    """Whether an override belongs to Hydra's own config, such as hydra/launcher=joblib."""
    return re.match(r"[~+]{0,2}(?:[^=@]*@)?hydra(?:[./@=]|\Z)", word) is not None


def readable(word: str, several: bool = False) -> str:
    """Return the same override in Hydra's grammar; ``several`` if commas separate the values of a sweep.

    The function is idempotent.
    """
    typed_key, equals, value = word.partition("=")
    key = typed_key.lstrip("+~")
    if not equals:
        return word
    if schema.is_text(key):
        several = several and key not in FOLDERS
        return f"{typed_key}={spelled(value, text_leaf, schema.is_list(key), several)}"
    return f"{typed_key}={spelled(value, other_leaf, True, True)}"


def as_text(word: str) -> str:
    """Return the override with its whole value as one text, if Hydra's grammar has no other meaning for it."""
    typed_key, _, value = word.partition("=")
    return f"{typed_key}={quoted(value)}"


def spelled(value: str, leaf: Callable[[str], str], lists: bool, several: bool = False) -> str:
    """Return a value with ``leaf`` applied to each text in it; ``lists`` if brackets make a list."""
    if depth(value) > DEEPEST:
        return quoted(value)
    parts = split(value)
    if len(parts) > 1 and (several or all(map(is_explicit, parts))):
        return ",".join(spelled(part.strip(), leaf, lists) for part in parts)
    if found := FUNCTION.fullmatch(value):
        name, arguments = found.groups()
        inner = partial(spelled, leaf=leaf if name in OF_TEXTS else other_leaf, lists=lists)
        return f"{name}({','.join(argument(part, inner) for part in split(arguments))})"
    if lists and is_enclosed(value, "["):
        items = leaf is other_leaf  # a list of texts holds no lists
        return f"[{','.join(spelled(part.strip(), leaf, items) for part in split(value[1:-1]))}]"
    if leaf is other_leaf and is_enclosed(value, "{"):
        return "{" + ",".join(map(pair, split(value[1:-1]))) + "}"
    return leaf(value)


def argument(part: str, inner: Callable[[str], str]) -> str:
    """Convert an argument of a function, such as ``a.txt`` or ``reverse=true``."""
    (name, value), *_ = ARGUMENT.findall(part.strip())
    return f"{name}{value}" if name else inner(value)


def pair(part: str) -> str:
    """Convert one key:value of a mapping, such as dataset.path:[a.txt,b.txt] of sweep.grid."""
    key, colon, value = part.partition(":")
    leaf = text_leaf if schema.is_text(key.strip()) else other_leaf
    return f"{key}{colon}{spelled(value.strip(), leaf, True)}" if colon else part


def text_leaf(value: str) -> str:
    """Quote a text as typed. A quoted text, null, and ${…} that names a key keep their meaning."""
    if not value or value.lower() == "null" or QUOTED.fullmatch(value):
        return value
    if PLAIN.fullmatch(value) and not is_number(value):
        return value
    return quoted(value, references(value))


def other_leaf(value: str) -> str:
    """Convert a value of any type; if Hydra's lexer would refuse it, or read it for minutes, quote it as text."""
    opens = value[:1] in ("'", '"')  # a quote that is not closed would close at that of another value
    if QUOTED.fullmatch(value) or (value.isascii() and len(value) <= LONGEST and not opens):
        return value
    return quoted(value, references(value))


def is_number(text: str) -> bool:
    """Whether Hydra's grammar reads a plain text as a number or a truth value, such as 007, 1e3, inf or true."""
    if text.lower() in ("true", "false"):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def references(text: str) -> bool:
    """Whether every ${ in the text begins a reference to a key of the config, or to a resolver such as oc.env."""
    found = REFERENCE.findall(text)
    return 0 < len(found) == text.count("${") and all(name in ("", *schema.GROUPS) for name in found)


def quoted(text: str, refers: bool = False) -> str:
    """Return a text as a quoted value on Hydra's command line; if ``refers``, ``${`` in it is a reference.

    A backslash must be escaped only before a quote, before ``${``, or at the end.
    """
    if not refers:
        text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text) + "'"


def literal(text: str) -> str:
    """Return a text on Hydra's command line, whatever it looks like: with quotes only if it needs them."""
    plain = PLAIN.fullmatch(text) and not is_number(text) and text.lower() != "null"
    return text if plain else quoted(text)


def is_explicit(part: str) -> bool:
    """Whether a value has quotes or brackets around it, so that it is written in Hydra's grammar."""
    return bool(QUOTED.fullmatch(part.strip())) or is_enclosed(part.strip(), "[")


def is_enclosed(text: str, opening: str) -> bool:
    """Whether the bracket that opens the text closes at its end."""
    closing = BRACKETS[opening]
    if len(text) < 2 or not text.startswith(opening) or not text.endswith(closing):
        return False
    inner = text[1:-1]
    return is_balanced(inner) or not {opening, closing} & set(inner)


def is_balanced(text: str) -> bool:
    """Whether all brackets outside quotes match."""
    levels = [level for _, _, level in outside_quotes(text)]
    return min(levels, default=0) >= 0 and (levels or [0])[-1] == 0


def depth(text: str) -> int:
    """Return the largest number of brackets that are open at the same time."""
    return max((level for _, _, level in outside_quotes(text)), default=0)


def split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes; brackets that do not match are text."""
    nested = is_balanced(text)
    commas = [at for at, letter, level in outside_quotes(text) if letter == "," and not (nested and level)]
    return [text[begin + 1 : end] for begin, end in zip([-1, *commas], [*commas, len(text)], strict=True)]


def outside_quotes(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield (index, letter, open brackets after it) for each letter outside quotes.

    A quote opens only at the beginning of a value, so an apostrophe in a word is not a quote.
    """
    at, level, begins = 0, 0, True
    while at < len(text):
        if begins and (found := QUOTED.match(text, at)):
            at, begins = found.end(), False
            continue
        letter = text[at]
        level += (letter in BRACKETS) - (letter in BRACKETS.values())
        begins = letter in ",:=" or letter in BRACKETS or (begins and letter.isspace())
        yield at, letter, level
        at += 1
