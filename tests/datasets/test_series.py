"""One's own series: CSV files as people have them, read or refused with file and line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.datasets.column import read_column
from d2lrun.datasets.series import load
from d2lrun.disk.cells import as_time
from d2lrun.errors import Refused

KEYS = {"encoding": "utf-8", "column": None, "time": None, "test_fraction": 0.25}


@pytest.fixture
def file(tmp_path):
    """``file(CONTENT, name)``: the path of a file with these bytes or this text."""

    def write(content, name="mine.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def read(content, column=None, time=None):
    return read_column("mine.csv", content, column, time)


def values(content, column=None, time=None):
    return read(content, column, time).values.tolist()


@pytest.mark.parametrize(
    "content",
    [
        "x\n1.5\n-2\n3e1\n",
        "1.5\n-2\n3e1",
        "x\r\n1.5\r\n-2\r\n3e1\r\n\r\n\r\n",
        '"x"\n"1.5"\n"-2"\n"3e1"\n',
        "day,x\na,1.5\nb,-2\nc,3e1\n",
        "day;x\na;1,5\nb;-2\nc;3e1\n",
        "day\tx\na\t1,5\nb\t-2,0\nc\t30\n",
        'day,x\n"a, b",1.5\n"say ""b""",-2\nc,30\n',
        'day,x\na,"1,5"\nb,-2\nc,30\n',
        "day;x\n\na;+1.5\n\n\nb;\u22122\nc; 30 \n",
        '\n"a;b",x\na,1.5\nb,-2\nc,30\n',
        "x,\n1.5,a\n-2,b\n30,\n",
    ],
)
def test_a_file_as_people_have_it(content):
    assert values(content) == [1.5, -2.0, 30.0]


@given(
    st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=9),
    st.sampled_from([",", ";", "\t"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_numbers_in_any_form_are_read_back(numbers, separator, comma, header, end):
    comma = comma and separator != ","
    rows = [["day", "amount"]] if header else []
    rows += [["on a day", repr(number).replace(".", "," if comma else ".")] for number in numbers]
    found = read(end.join(separator.join(row) for row in rows) + end)
    assert found.values.tolist() == numbers
    assert found.name == ("amount" if header else "column 2")


TWO = "year,sales,price\n2001,5,1.5\n2002,6,2.5\n2003,7,3.5\n"


@pytest.mark.parametrize("column, wanted", [("sales", [5, 6, 7]), ("3", [1.5, 2.5, 3.5]), ("1", [2001, 2002, 2003])])
def test_a_column_is_named_or_counted(column, wanted):
    assert values(TWO, column) == wanted


def test_the_column_of_time_is_not_the_series():
    found = read("year,sales\n2001,5\n2002,6\n2004,7\n", time="year")
    assert (found.name, found.values.tolist(), found.times) == ("sales", [5, 6, 7], [2001, 2002, 2004])


@pytest.mark.parametrize(
    "content, column, time, words",
    [
        (TWO, None, None, r"mine.csv: 3 columns of numbers \(year, sales, price\)"),
        (TWO, "cost", None, r"dataset.column=cost: no such column \(have: year, sales, price\)"),
        (TWO, "4", None, "dataset.column=4: no such column"),
        (TWO, "0", None, "dataset.column=0: no such column"),
        (TWO, "sales", "day", "dataset.time=day: no such column"),
        ("a,a\n1,2\n", "a", None, "dataset.column=a: 2 columns have this name"),
        ("x\n1\n\n3\n", None, None, "mine.csv, line 3: an empty line between two values"),
        ("d,x\na,1\nb,\nc,3\n", None, None, "mine.csv, line 3: no value of x"),
        ("d,x\na,1\nb,NaN\n", None, None, "mine.csv, line 3: no value of x"),
        ("d,x\na,1\n\nb,two\n", None, None, "mine.csv, line 4: two is no number"),
        ("d,x\na,1\nb,inf\n", None, None, "line 3: inf is no number"),
        ("d,x\na,1\nb,1_000\n", None, None, "line 3: 1_000 is no number"),
        ("d,x\na,1\nb,1e39\n", None, None, "line 3: 1e39 is too large"),
        ("d,x\na,1\nb,1e999\n", None, None, "line 3: 1e999 is too large"),
        ("d;x\na;999.5\nb;1,234\n", None, None, r"x has decimal points \(line 2\) and commas \(line 3\)"),
        ("d;x\na;1.234,5\n", None, None, "line 2: no number in it"),
        ("d,x\na,1\nb,2,3\n", None, None, "line 3: 3 fields, the first line has 2"),
        ("d,x\na,1\nb\n", None, None, "line 3: 1 field, the first line has 2"),
        ('d,x\na,1\n"b,2\nc,3\n', None, None, "line 4: not valid CSV"),
        ('d,x\na,1\n"b"c,2\n', None, None, "line 3: not valid CSV"),
        ("x\n", None, None, "line 1: a header and no rows after it"),
        ("\n\n", None, None, "line 1: no rows"),
        ("d,x\na,b\n", None, None, "line 2: no number in it: a b"),
        ("t,x\n1,5\n2,6\n2,7\n", "x", "t", "line 4: 2 is not after the time of the row before"),
        ("t,x\n2026-01-31,5\n2026-01-30,6\n", "x", "t", "line 3: 2026-01-30 is not after the time"),
        ("t,x\n31.01.2026,5\n", "x", "t", "line 2: 31.01.2026 is no time"),
        ("t,x\n2026-01-31,5\n,6\n", "x", "t", "line 3: nothing is no time"),
        ("x\n" + "9" * 200_000 + "\n", None, None, "line 2: not valid CSV: field larger"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(content, column, time, words):
    with pytest.raises(Refused, match=words) as refusal:
        read(content, column, time)
    assert str(refusal.value).startswith("mine.csv") and refusal.value.hint and len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "2", "10"],
        ["2026-01-31", "2026-02-01", "2026-10-01"],
        ["2026/01/31", "2026/02/01"],
        ["2025-12", "2026-01"],
        ["2026-01-31 23:00", "2026-01-31 23:00:01", "2026-02-01T00:00"],
        ["2026-03-29T01:30:00+01:00", "2026-03-29T01:00:00Z", "2026-03-29T03:30:00+02:00"],
        ["1903-05-01", "1969-12-31", "1970-01-01", "2400-01-01"],
    ],
)
def test_times_are_in_order(cells):
    found = [as_time(cell) for cell in cells]
    assert found == sorted(found) and len({*found}) == len(found)


def test_gaps_in_time_and_empty_lines_are_said():
    days = [*range(1, 9), 12, 13, 20]
    content = "day;x\n" + "\n\n".join(f"2026-01-{day:02};{day}" for day in days)
    found = read(content, time="day")
    assert found.remarks == ("10 empty lines skipped", "2 gaps in day: steps longer than 1.5 times the usual one")
    months = [f"{year}-{month:02},1" for year in (2024, 2025) for month in range(1, 13)]
    assert read("month,x\n" + "\n".join(months), time="month").remarks == ()  # 28 to 31 days


def test_the_end_tests(file):
    path = file("x\n" + "\n".join(map(str, range(10))))
    data = load([path], **KEYS)
    assert (data.train, len(data.values), data.column) == (8, 10, "x")
    assert [load([path], **KEYS | {"test_fraction": share}).train for share in (0.001, 0.999)] == [9, 1]
    assert data.contents[0].origin == path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "latin-1"])
def test_an_encoding_is_named(file, encoding):
    name = "größe" if encoding == "latin-1" else "销量"
    data = load(
        [file(f"日期,{name}\na,1\nb,2\n".replace("日期", "d").encode(encoding))], **KEYS | {"encoding": encoding}
    )
    assert (data.column, data.values.tolist()) == (name, [1, 2])


def test_several_files_follow_each_other(file):
    one, other = file("t,x\n1,5\n2,6\n", "1.csv"), file("t;x\n3;7\n", "2.csv")
    data = load([one, other], **KEYS | {"time": "t"})
    assert data.values.tolist() == [5, 6, 7] and len(data.contents) == 2
    with pytest.raises(Refused, match=r"1\.csv, line 1: it begins before the end of .*2\.csv"):
        load([other, one], **KEYS | {"time": "t"})
    with pytest.raises(Refused, match=r"3\.csv, line 1: the column is y, that of .*1\.csv is x"):
        load([one, file("t,y\n3,5\n", "3.csv")], **KEYS | {"time": "t"})


def test_another_file_is_read_in_the_same_way(file):
    data = load([file("t,x,y\n1,5,0\n2,6,0\n")], **KEYS | {"column": "x"})
    assert data.read(file("t,x,y\n3,7,0\n", "new.csv")).tolist() == [7]
    with pytest.raises(Refused, match=r"new\.csv: dataset\.column=x: no such column"):
        data.read(file("t,z\n3,7\n", "new.csv"))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"x\n\xff\xfe\n", "is not UTF-8"),
        (b"x\n\0\n", "is NUL"),
        (b"x\n1\n", "1 value, wanted at least 2"),
    ],
)
def test_a_file_that_is_no_series_is_refused(file, content, words):
    with pytest.raises(Refused, match=words):
        load([file(content)], **KEYS)


def test_a_path_is_needed_and_must_be_a_file(tmp_path):
    for path, words in (
        ([], "dataset=series needs dataset.path"),
        ([str(tmp_path)], "is a folder"),
        ([str(tmp_path / "gone")], "No such file"),
    ):
        with pytest.raises(Refused, match=words):
            load(path, **KEYS)


def test_values_are_kept_in_double_precision(file):
    assert load([file("x\n1000000000.25\n0.1\n")], **KEYS).values.tolist() == [1000000000.25, 0.1]
