from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.cells import SEPARATORS, read_sheet, separator_of
from d2lrun.errors import Refused

NAMES = ["a", "b c", 'd"e']
CELL = st.sampled_from(["1", "2.5", "x y", 'say "no"', "two\nlines", ",", ";", "|", "\t.", "Ä", "a,b;c|d"])


def written(rows, separator):
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()


@given(st.sampled_from(SEPARATORS), st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=5))
def test_what_csv_writes_with_any_separator_is_read_back(separator, rows):
    sheet = read_sheet("a.csv", written([NAMES, *rows], separator))
    assert list(sheet.columns) == NAMES
    assert [*zip(*sheet.columns.values())] == [tuple(cell.strip() for cell in row) for row in rows]


@pytest.mark.parametrize(
    "text, separator",
    [
        ("a;b\n1,5;2,5\n", ";"),
        ("a,b\n1,2\n", ","),
        ("time|value\n1,5|2\n", "|"),
        ("a\tb\n1,5\t2\n", "\t"),
        ("a|b,c\n1,2\n", ","),  # not in each line
        ('"a;b",c\n"1;2",3\n', ","),  # in quotes
        ("a\n1\n", ","),
        ("", ","),
    ],
)
def test_the_separator_is_what_each_line_has_equally_often(text, separator):
    assert separator_of(text) == separator


def test_a_row_knows_its_line_and_rows_without_a_value_are_counted():
    sheet = read_sheet("a.csv", "a,b\r\n\r\n1,2\r\n,\r\n3,\r\n")
    assert sheet.columns == {"a": ["1", "3"], "b": ["2", ""]}
    assert sheet.lines == [3, 5] and sheet.skipped == 1


def test_a_column_without_a_name_is_called_by_its_place():
    assert list(read_sheet("a.csv", ",a\n0,1\n").columns) == ["column 1", "a"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: no rows"),
        ("a,b\n", "line 1: names of columns and no rows"),
        ("1,2\n3,4\n", "line 1: a number, wanted the names"),
        ("a,a\n1,2\n", "line 1: several columns are called a"),
        ("a,b\n1,2\n1,2,3\n", "line 3: 3 fields, the first line has 2"),
        ('a,b\n"1,2\n', "not valid CSV"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_line(text, message):
    with pytest.raises(Refused, match=message):
        read_sheet("a.csv", text)
