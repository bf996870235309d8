"""Tagged text is read as it was written, in both formats; what cannot be read is refused with its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.errors import Refused
from d2lrun.tasks.tagging.formats import read

LETTERS = st.characters(exclude_categories=("C", "Z"), exclude_characters="#")
TOKENS = st.text(LETTERS, min_size=1, max_size=5)
TAGS = st.text(st.characters(categories=("L", "P"), exclude_characters="#/"), min_size=1, max_size=3)
SENTENCES = st.lists(st.lists(st.tuples(TOKENS, TAGS), min_size=1, max_size=4), min_size=1, max_size=4)


def plain(tagged):
    return [list(zip(*sentence)) for sentence in tagged.sentences]


@settings(max_examples=40)
@given(SENTENCES, st.sampled_from(["\t", " ", "  ", " \t"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_columns_are_read_back(sentences, gap, end, last):
    rows = ["".join(f"{word}{gap}X{gap}{tag}{end}" for word, tag in sentence) for sentence in sentences]
    text = end.join(rows) + (end if last else "")
    assert plain(read("f", text, "columns", 1, -1)) == sentences
    assert plain(read("f", text, "columns", -3, 3)) == sentences


@given(SENTENCES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([" ", "  ", "\t"]))
def test_pairs_are_read_back_and_recognised(sentences, end, gap):
    text = end.join(gap.join(f"{word}/{tag}" for word, tag in sentence) for sentence in sentences)
    tagged = read("f", text, "auto", 1, -1)
    assert (plain(tagged), tagged.format) == (sentences, "slashes")


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("-DOCSTART- -X- O\n\nEU NNP O\nrejects VBZ O\n\n\n\n. . O", [[("EU", "O"), ("rejects", "O")], [(".", "O")]]),
        ("a/b X\n\nc Y\n", [[("a/b", "X")], [("c", "Y")]]),
        ("# a comment\nNew York\tX\nis\tY\n", [[("New York", "X"), ("is", "Y")]]),
        ("# # X\n1 2 Y\n", [[("#", "X"), ("1", "Y")]]),
        ("a X\n-DOCSTART- -X-\nb Y\n", [[("a", "X")], [("b", "Y")]]),
        ("\u3000\tX\na\tY", [[("\u3000", "X"), ("a", "Y")]]),
    ],
)
def test_files_as_people_have_them(text, wanted):
    tagged = read("f", text, "auto", 1, -1)
    assert (plain(tagged), tagged.format) == (wanted, "columns")


def test_conll_u_has_words_alone():
    rows = ["# text = don't", "1-2\tdon't" + "\t_" * 8, "1\tdo" + "\t_\tAUX" + "\t_" * 6, "1.1\t_" + "\t_" * 8]
    tagged = read("f", "\n".join(rows), "auto", 2, 4)
    assert plain(tagged) == [[("do", "AUX")]]
    assert str(tagged) == (
        "1 sentence in the format columns, 1 comment skipped, 2 multi-word or empty-node lines skipped"
    )


@pytest.mark.parametrize(
    "text, format, columns, named",
    [
        ("a X\nb\n", "auto", (1, -1), "f, line 2: 1 column, wanted 2"),
        ("a X\r\n\r\nb Y Z\r\n", "auto", (1, -1), "f, line 3: 3 columns, wanted 2"),
        ("a\nb\n", "auto", (1, -1), "f, line 1: one column"),
        ("\n\na\tX\n\tY\n", "auto", (1, -1), "f, line 4: an empty word or tag"),
        ("a/X b\n", "slashes", (1, -1), "f, line 1: a word without a tag"),
        ("a/X\n\nb/\n", "slashes", (1, -1), "f, line 3: a word without a tag"),
        ("a/X b/Y\n", "auto", (2, -1), "f: dataset.token=2 and dataset.tag=-1 are"),
        ("a X\n", "auto", (3, -1), "dataset.token=3: f has 2 columns"),
        ("a X\n", "auto", (1, -3), "dataset.tag=-3: f has 2 columns"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text, format, columns, named):
    with pytest.raises(Refused) as caught:
        read("f", text, format, *columns)
    assert str(caught.value).startswith(named)
