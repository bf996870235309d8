"""``d2lrun translate RUN``: translate sentences, or a file of lines. Functions import torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from d2lrun.errors import Refused
from d2lrun.streams import complain
from d2lrun.tasks import Question, Word, whole

if TYPE_CHECKING:
    from d2lrun.config.keys import Config

WIDEST = 1000  # a larger beam is a mistake


def check(options: dict[str, str]) -> None:
    """Raise Refused for a wrong value of an option."""
    whole(options, "beam", 1, WIDEST, "translate")
    alpha = options["alpha"]
    try:
        value = float(alpha)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 10:
        raise Refused(f"alpha={alpha}: wanted a number from 0 to 10", "alpha=0.75, as in the book")


def translate(question: Question) -> None:
    """Print the translation of each sentence, one a line."""
    options = question.options
    from d2lrun.disk.texts import lines_of
    from d2lrun.report.text import printable
    from d2lrun.tasks.translation.answer import Translator

    if not question.files:
        raise Refused("translate: no sentence", "d2lrun translate RUN 'go .', or a file of lines instead")
    question.check_data()
    sentences = lines_of(question.files, blank=True)  # line by line, as in the file
    translator = Translator(question.directory, question.config, int(options["beam"]), float(options["alpha"]))
    unknown = translator.unknown(sentences)
    if unknown:
        complain(f"not in the vocabulary, read as <unk>: {' '.join(map(repr, unknown))}\n")
    for text in translator.translations(sentences):
        sys.stdout.write(printable(question.console, text) + "\n")
        sys.stdout.flush()
    if options["picture"]:
        translator.draw(sentences, Path(options["picture"]))


def next_words(config: Config, directory: Path) -> list[object]:
    """Return the words of ``translate`` for this run."""
    sentences = {"arithmetic": "12+35", "fra-eng": "go ."}
    return ["translate", directory, sentences.get(config.dataset.name, "SENTENCE")]


WORDS = {
    "translate": Word(
        "[SENTENCE|FILE...] [beam=1] [alpha=0.75] [picture=PNG]",
        "translate sentences, or the lines of a file",
        {
            "SENTENCE": "a sentence in quotes, such as 'go .'",
            "FILE": "a text file in UTF-8; each line is translated",
            "beam": "prefixes that beam search keeps in each step; 1: greedy search",
            "alpha": "power of the length that divides the score; 0: shorter ones",
            "picture": "draw the attention of the first sentences to this file",
        },
        translate,
        check,
    )
}
