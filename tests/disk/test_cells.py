from __future__ import annotations

import csv
import io
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.cells import SEPARATORS, Column, Sheet, as_time, read_sheet, separator_of
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
    assert [*zip(*(column.cells for column in sheet.columns.values()))] == [
        tuple(cell.strip() for cell in row) for row in rows
    ]


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
    assert {name: column.cells for name, column in sheet.columns.items()} == {"a": ["1", "3"], "b": ["2", ""]}
    assert sheet.lines.tolist() == [3, 5] and sheet.skipped == 1


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


# --- a column, beside a definition for one cell -----------------------------------------------------------------------

ODD = [
    "",
    "NA",
    "-",
    "?",
    "1_0",
    "inf",
    "nan",
    "\u0661",
    "0x1",
    "1\n2",
    "5.",
    ",5",
    "1e3",
    "\u22123",
    ".",
    "e",
    "1,2,3",
    "1e999",
]
DATES = ["2020-01-31", "2020/02/03", "2020-05", "2020-01-01 12:00", "soon"]
numbers = st.one_of(st.integers(-99, 99), st.floats(allow_nan=False, allow_infinity=False)).map(str)
columns = st.one_of(
    st.lists(numbers, max_size=9),
    st.lists(numbers | st.sampled_from(["", "NA"]), max_size=9),
    st.lists(st.one_of(st.sampled_from([*ODD, *DATES]), st.text(max_size=3), numbers), max_size=9),
)


def number(cell):
    """The number of a cell by its form, NaN if it has none."""
    cell = cell.replace("\u2212", "-").replace(",", ".")
    return float(cell) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", cell) else math.nan


@given(columns)
def test_a_column_knows_each_cell_by_its_row(cells):
    column = Column(cells)
    there = [cell.lower() not in ("", "na", "n/a", "nan", "null", "none", "-", "?") for cell in cells]
    assert column.cells == cells and column.there[column.index].tolist() == there
    wanted = [number(cell) if known else math.nan for cell, known in zip(cells, there)]
    assert np.array_equal(column.numbers[column.index], wanted, equal_nan=True)
    assert column.first.tolist() == [cells.index(cell) for cell in dict.fromkeys(cells)]


@given(columns)
def test_the_times_of_a_column_end_at_the_first_cell_that_is_none(cells):
    column, ended, wanted = Column(cells), False, []
    for cell in cells:
        time = as_time(cell)
        ended |= time is None and cell.lower() not in ("", "na", "n/a", "nan", "null", "none", "-", "?")
        wanted.append(math.nan if ended or time is None else time)
    found = column.times[column.index]
    first = next((row for row, cell in enumerate(found) if math.isnan(cell)), len(cells))
    assert np.array_equal(found[:first], wanted[:first]) and (first == len(cells) or math.isnan(wanted[first]))
    assert np.isnan(found).any() == any(map(math.isnan, wanted))


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=9), st.sampled_from("abcd"))
def test_the_first_row_with_a_cell_is_found_with_its_line(cells, wanted):
    column, lines = Column(cells), np.arange(len(cells)) + 5
    found = Sheet("a.csv", {"a": column}, lines).first("a", np.array([value == wanted for value in column.values]))
    assert found == ((cells.index(wanted) + 5, wanted) if wanted in cells else None)
