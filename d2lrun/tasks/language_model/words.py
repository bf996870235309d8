"""``d2lrun generate RUN``: let a language model continue a text. Imports torch when it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from d2lrun.config.keys import Config
from d2lrun.errors import Refused
from d2lrun.streams import complain
from d2lrun.tasks import Question, Word

DIGITS = 18  # of a whole number; what is longer may not fit into 64 bits


def numbers(options: dict[str, str]) -> dict[str, Any]:
    """The options that are numbers, by their names; raises Refused."""
    return {
        "length": whole(options, "length", 1),
        "temperature": number(options, "temperature"),
        "top_k": whole(options, "top_k", 1) if options["top_k"] else None,
        "seed": whole(options, "seed", 0),
    }


def check(options: dict[str, str]) -> None:
    """Raise Refused for an option's value that is none."""
    numbers(options)


def generate(question: Question) -> None:
    """Continue a text, token by token, on the terminal."""
    options = question.options
    from d2lrun.report.text import printable
    from d2lrun.tasks.language_model.generate import continue_text

    question.check_data()
    unknown, pieces = continue_text(question.directory, question.config, options["prefix"], **numbers(options))
    if unknown:
        complain(f"not in the vocabulary, read as <unk>: {' '.join(map(repr, unknown))}\n")
    for piece in pieces:
        sys.stdout.write(printable(question.console, piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


def whole(options: dict[str, str], name: str, least: int) -> int:
    """The option as a whole number; raises Refused."""
    digits = options[name]
    if not digits.isdecimal() or len(digits) > DIGITS or int(digits) < least:
        wanted = f"wanted a whole number at least {least}, of {DIGITS} digits at most"
        raise Refused(f"{name}={digits}: {wanted}", "d2lrun generate --help")
    return int(digits)


def number(options: dict[str, str], name: str) -> float:
    """The option as a number that is not negative; raises Refused."""
    try:
        value = float(options[name])
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise Refused(f"{name}={options[name]}: wanted a number at least 0", "0 takes the likeliest token each time")
    return value


def next_words(config: Config, directory: Path) -> list[object]:
    """A language model is good for texts."""
    return ["generate", directory, *([f"prefix={config.dataset.prefix}"] if config.dataset.prefix else [])]


WORDS = {
    "generate": Word(
        "[prefix=TEXT] [length=50] [temperature=0] [top_k=K] [seed=1]",
        "let a language model continue a text; temperature=0 takes the likeliest",
        {
            "prefix": "the text to be continued; without it, that of the run's dataset",
            "length": "so many tokens (characters or words) are written",
            "temperature": "0: the likeliest token; 1: drawn by its chances; above: bolder",
            "top_k": "draw from the K likeliest tokens only",
            "seed": "of the draws: the same seed writes the same text",
        },
        generate,
        check,
    )
}
