"""Rows of TSV and CSV files as people have them."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.rows import read_rows
from d2lrun.errors import Refused

CELL = st.text(st.sampled_from('ab"\t,;\n 好'), max_size=6)
TABLE = st.lists(st.tuples(CELL.map("x{}".format), CELL), min_size=1, max_size=5)


@given(TABLE, st.sampled_from([",", ";"]), st.sampled_from(["\n", "\r\n"]))
def test_a_csv_file_is_read_as_it_was_written(table, comma, end):
    text = io.StringIO()
    csv.writer(text, delimiter=comma, lineterminator=end).writerows([("first", "row"), *table])
    assert read_rows("a.csv", text.getvalue()).cells == [["first", "row"], *map(list, table)]


@given(TABLE, st.sampled_from(["\n", "\r\n"]))
def test_a_tsv_file_with_quotes_is_read_as_it_was_written(table, end):
    table = [[cell.replace("\n", " ") for cell in row] for row in table]
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator=end).writerows(table)
    assert read_rows("a.tsv", text.getvalue()).cells == table


@pytest.mark.parametrize("text", ['"Good," he said', 'he said "good"', '"', 'a "b', "it's", '""x'])
def test_a_quote_inside_a_tsv_text_is_a_character(text):
    assert read_rows("a.tsv", f"{text}\tpos\nnext\tneg\n").cells == [[text, "pos"], ["next", "neg"]]


def test_blank_lines_are_no_rows_and_lines_keep_their_numbers():
    rows = read_rows("a.tsv", "\n a\tb\n\n\t\n  \nc\td")
    assert (rows.cells, rows.numbers) == ([[" a", "b"], ["c", "d"]], [2, 6])


def test_the_number_of_a_csv_row_is_its_first_line():
    assert read_rows("a.csv", 'a,b\n"two\nlines",c\nd,e\n').numbers == [1, 2, 4]


@pytest.mark.parametrize(
    "name, text, comma", [("a", "x y\tz\n", "tab"), ("a", "x y,z\n", "comma"), ("a.csv", "x y;z\n", "semicolon")]
)
def test_the_separator_is_found(name, text, comma):
    assert read_rows(name, text).cells == [["x y", "z"]]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.tsv", "a\tb\nc\td\te\n", "a.tsv, line 2: 3 columns, wanted 2, as in line 1"),
        ("a.tsv", "a\tb\nc\n", "a.tsv, line 2: 1 column, wanted 2, as in line 1"),
        ("a.csv", 'a,b\n\n"c"x,d\n', "a.csv, line 3: ',' expected after '\"'"),
        ("a.csv", 'a,b\n"c,d\n', "a.csv, line 2: unexpected end of data"),
        ("a.csv", f"a,b\n{'c' * 200_000},d\n", "a.csv, line 2: field larger than field limit (131072)"),
        ("a.tsv", "\n \n", "a.tsv has no row"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_line(name, text, message):
    with pytest.raises(Refused) as caught:
        read_rows(name, text)
    assert str(caught.value) == message
