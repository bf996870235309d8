"""The English prose in Python's own manual, which every Python brings with it: nothing to download.

Some 250,000 characters; they differ a little from one version of Python to the next.
"""

from __future__ import annotations

import platform
import re
from typing import Any

from d2lrun.disk.content import Content, fingerprint
from d2lrun.disk.locate import Progress, Say
from d2lrun.errors import Refused
from d2lrun.tasks.language_model.build import build
from d2lrun.tasks.language_model.stream import TextDataset

BLANK_LINES = re.compile(r"\n\s*\n")
WORDS = 5  # of a paragraph, at least
LETTERS = 0.85  # share of letters and spaces in a paragraph: with fewer it is code, grammar or a table


def load(say: Say = lambda line: None, progress: Progress | None = None, **preparation: Any) -> TextDataset:
    """The dataset on the CPU; ``preparation`` is that of ``build``. Raises Refused."""
    text, source = read()
    return build(
        "pydoc", text, source, contents=[Content(source, fingerprint(text))], read=lambda: read()[0], **preparation
    )


def read(say: Say = lambda line: None, progress: Progress | None = None) -> tuple[str, str]:
    """The text, a blank line between two paragraphs, and the Python it is from."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        hint = "install the whole of Python's standard library, or give dataset=text dataset.path=FILE"
        raise Refused("dataset=pydoc: this Python comes without pydoc_data", hint) from None
    paragraphs = (paragraph for name in sorted(topics) for paragraph in BLANK_LINES.split(topics[name]))
    lines = ("\n".join(line.strip() for line in paragraph.strip().split("\n")) for paragraph in paragraphs)
    # Topics quote each other. What stands twice would train and be measured too, so it is taken once.
    once = {" ".join(paragraph.split()): paragraph for paragraph in lines if is_prose(paragraph)}
    return "\n\n".join(once.values()) + "\n", f"pydoc_data of Python {platform.python_version()}"


def is_prose(paragraph: str) -> bool:
    letters = sum(character.isalpha() or character.isspace() for character in paragraph)
    sentence = paragraph.endswith((".", ":", ".)")) and len(paragraph.split()) >= WORDS
    return sentence and letters > LETTERS * len(paragraph)
