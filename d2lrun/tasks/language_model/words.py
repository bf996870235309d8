"""``d2lrun generate RUN``: let a language model continue a text. Functions import torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from d2lrun.errors import Refused
from d2lrun.streams import complain
from d2lrun.tasks import Question, Word, whole

if TYPE_CHECKING:
    from d2lrun.config.keys import Config

MOST = 10**18  # of a whole number: a larger one may not fit into 64 bits


def numbers(options: dict[str, str]) -> dict[str, Any]:
    """Return the numeric options by name; raises Refused."""
    return {
        "length": whole(options, "length", 1, MOST, "generate"),
        "temperature": number(options, "temperature"),
        "top_k": whole(options, "top_k", 1, MOST, "generate") if options["top_k"] else None,
        "seed": whole(options, "seed", 0, MOST, "generate"),
    }


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    numbers(options)


def generate(question: Question) -> None:
    """Print the continuation of a text, token by token."""
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


def number(options: dict[str, str], name: str) -> float:
    """Return the option as a number that is not negative; raises Refused."""
    try:
        value = float(options[name])
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise Refused(f"{name}={options[name]}: wanted a number at least 0", "0 takes the likeliest token each time")
    return value


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``generate`` for this run."""
    return ["generate", directory, *([f"prefix={config.dataset.prefix}"] if config.dataset.prefix else [])]


WORDS = {
    "generate": Word(
        "[prefix=TEXT] [length=50] [temperature=0] [top_k=K] [seed=1]",
        "let a language model continue a text; temperature=0 takes the likeliest",
        {
            "prefix": "the text to continue; default: the prefix of the run's dataset",
            "length": "how many tokens (characters or words) to write",
            "temperature": "0: the likeliest token; 1: drawn by probability; above: bolder",
            "top_k": "draw only from the K likeliest tokens",
            "seed": "of the random draws: the same seed writes the same text",
        },
        generate,
        check,
    )
}
