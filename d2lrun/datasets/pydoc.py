"""The English text in Python's manual, which is part of every Python: nothing to download.

About 250,000 characters, with small differences between versions of Python.
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
WORDS = 5  # least words of a paragraph
LETTERS = 0.85  # least share of letters and spaces in a paragraph: less is code, grammar or a table


def load(say: Say = lambda line: None, progress: Progress | None = None, **preparation: Any) -> TextDataset:
    """Return the dataset on the CPU; ``preparation`` is passed to ``build``. Raises Refused."""
    text, source = read()
    return build(
        "pydoc", text, source, contents=[Content(source, fingerprint(text))], read=lambda: read()[0], **preparation
    )


def read(say: Say = lambda line: None, progress: Progress | None = None) -> tuple[str, str]:
    """Return the text, with a blank line between two paragraphs, and the version of Python."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        hint = "install the whole of Python's standard library, or give dataset=text dataset.path=FILE"
        raise Refused("dataset=pydoc: this Python comes without pydoc_data", hint) from None
    paragraphs = (paragraph for name in sorted(topics) for paragraph in BLANK_LINES.split(topics[name]))
    lines = ("\n".join(line.strip() for line in paragraph.strip().split("\n")) for paragraph in paragraphs)
    # Topics quote each other. A repeated paragraph could train and validate at the same time, so it is used once.
    once = {" ".join(paragraph.split()): paragraph for paragraph in lines if is_prose(paragraph)}
    return "\n\n".join(once.values()) + "\n", f"pydoc_data of Python {platform.python_version()}"


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph is text, and not code, grammar or a table."""
    letters = sum(character.isalpha() or character.isspace() for character in paragraph)
    sentence = paragraph.endswith((".", ":", ".)")) and len(paragraph.split()) >= WORDS
    return sentence and letters > LETTERS * len(paragraph)
