from __future__ import annotations

import re
import subprocess
import sys

import pytest

from d2lrun.datasets import pydoc
from d2lrun.errors import Refused

PREPARATION = {
    **{"kind": "char", "rule": "letters", "min_freq": 0, "reserved": []},
    "max_tokens": None,
}


@pytest.fixture(scope="module")
def text():
    return pydoc.read()[0]


def test_there_is_as_much_text_as_in_a_short_novel(text):
    assert 150_000 < len(text) < 1_000_000
    assert len(text.split()) > 25_000


def test_it_is_english(text):
    words = re.findall("[a-z]+", text.lower())
    share = sum(word in {"the", "a", "of", "is", "to", "in", "and"} for word in words) / len(words)
    assert share > 0.15


def test_no_paragraph_stands_twice(text):
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    assert len(paragraphs) == len(set(paragraphs)) > 500


@pytest.mark.parametrize(
    ("paragraph", "prose"),
    [
        ("The value is the object itself.", True),
        ("* If a class defines it, it is called first (see below.)", True),
        ("The following are equivalent forms of it:", True),
        ('The "try" statement\n*******************', False),
        (">>> 'Monty Python'.rstrip(' Python')\n'Monty'.", False),
        ("x = a[0] + b[1] * (c - d) / e[2] ** 3 .", False),
        ("is equivalent to", False),
        ("Changed in 3.", False),
        ("", False),
    ],
)
def test_sentences_are_told_from_code(paragraph, prose):
    assert pydoc.is_prose(paragraph) == prose


def test_another_process_reads_the_same(text):
    program = "from d2lrun.datasets import pydoc; import sys; sys.stdout.buffer.write(pydoc.read()[0].encode())"
    done = subprocess.run([sys.executable, "-X", "utf8", "-c", program], capture_output=True, timeout=1800, check=True)
    assert done.stdout.decode() == text


def test_the_dataset_names_its_python():
    data = pydoc.load(**PREPARATION)
    assert data.name == "pydoc"
    assert data.source == f"pydoc_data of Python {sys.version.split()[0]}"
    assert set(data.vocabulary.tokens) == {"<unk>", *" abcdefghijklmnopqrstuvwxyz"}


def test_a_python_without_it_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(Refused, match="without pydoc_data") as caught:
        pydoc.load(**PREPARATION)
    assert "dataset=text" in caught.value.hint
