"""One column of numbers of a CSV file as people have them: any separator, decimal comma, with or without a header."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from d2lrun.config.types import FLOAT32_MAX
from d2lrun.counts import counted
from d2lrun.disk.cells import (
    Row,
    as_number,
    as_time,
    faulty,
    is_missing,
    is_number,
    one_decimal_sign,
    read_rows,
    shown,
)
from d2lrun.errors import Refused

GAP = 1.5  # times the usual step of time: a longer step is a gap
NUMBERS = "write numbers as 1234.5 or, in a file with ; or tabs, as 1234,5; dataset.column=… names another column"


@dataclass(frozen=True)
class Column:
    """The values float64 [N] of a column, and the time of each if the file has a column of time."""

    name: str
    values: np.ndarray
    times: list[float]  # in seconds or in the file's own unit; empty without a column of time
    remarks: tuple[str, ...]  # what was found and skipped


def read_column(path: str, content: str, column: str | None, time: str | None) -> Column:
    """Return the column called ``column`` (or its number, from 1), by default the only one with numbers.

    ``time`` names a column whose values must increase. Every row needs a value. Raises Refused that names file and
    line.
    """
    rows, empty = rows_of(path, content)
    head = rows[0].cells if not any(map(is_number, rows[0].cells)) else None
    names = head or [f"column {number}" for number in range(1, len(rows[0].cells) + 1)]
    body = rows[1:] if head else rows
    if not body:
        raise faulty(path, rows[0].line, "a header and no rows after it", "give a file with numbers")
    for row in body:
        if len(row.cells) != len(names):
            fields = f"{counted(len(row.cells), 'field')}, the first line has {len(names)}"
            raise faulty(path, row.line, fields, "quote a field that contains the separator")
    clock = None if time is None else place_of(path, names, "time", time)
    place = chosen(path, names, body[0], clock) if column is None else place_of(path, names, "column", column)
    values = numbers(path, names[place], body, place)
    times = [] if clock is None else in_order(path, body, clock)
    remarks = [f"{counted(empty, 'empty line')} skipped"] if empty else []
    if (gaps := gaps_of(times)) > 0:
        remarks.append(f"{counted(gaps, 'gap')} in {names[clock or 0]}: steps longer than {GAP} times the usual one")
    return Column(names[place], np.array(values), times, tuple(remarks))


def rows_of(path: str, content: str) -> tuple[list[Row], int]:
    """Return the rows that are not empty, and the number of empty lines between them; raises Refused.

    In a file of one column, an empty line between two values is a missing value.
    """
    rows = list(read_rows(path, content))
    while rows and not rows[-1].cells:
        rows.pop()
    full = [row for row in rows if row.cells]
    if not full:
        raise faulty(path, 1, "no rows", "give a file with numbers")
    begun = rows[rows.index(full[0]) :]
    gap = next((row for row in begun if not row.cells), None)
    if gap is not None and len(full[0].cells) == 1:
        raise missing(path, gap.line, "an empty line between two values")
    return full, len(rows) - len(full)


def chosen(path: str, names: list[str], row: Row, clock: int | None) -> int:
    """Return the place of the only column of numbers; raises Refused if there are none or several."""
    found = [at for at, cell in enumerate(row.cells) if at != clock and (is_number(cell) or is_missing(cell))]
    if len(found) == 1:
        return found[0]
    if not found:
        raise faulty(path, row.line, f"no number in it: {shown(' '.join(row.cells))}", NUMBERS)
    listed = ", ".join(shown(names[at]) or f"column {at + 1}" for at in found)
    hint = f"choose one: dataset.column={found[-1] + 1}, or its name; dataset.time=… names the column of time"
    raise Refused(f"{path}: {counted(len(found), 'column')} of numbers ({listed})", hint)


def place_of(path: str, names: list[str], key: str, wanted: str) -> int:
    """Return the place of a column by its name, or else by its number from 1; raises Refused."""
    same = [at for at, name in enumerate(names) if name == wanted]
    if len(same) == 1:
        return same[0]
    if not same and wanted.isdecimal() and 1 <= int(wanted[:9]) <= len(names):
        return int(wanted) - 1
    listed = ", ".join(map(shown, names))
    wrong = "no such column" if not same else f"{len(same)} columns have this name"
    hint = f"name one of them, or give its number: dataset.{key}=1 to {len(names)}"
    raise Refused(f"{path}: dataset.{key}={shown(wanted)}: {wrong} (have: {listed})", hint)


def numbers(path: str, name: str, body: list[Row], place: int) -> list[float]:
    """Return the number of each row; raises Refused at the first that is missing or none.

    A column has one decimal sign, a point or a comma. No thousands separator is read: 1,234 is 1.234.
    """
    values = []
    for row in body:
        cell = row.cells[place]
        if is_missing(cell):
            raise missing(path, row.line, f"no value of {shown(name)}")
        if not is_number(cell):
            raise faulty(path, row.line, f"{shown(cell)} is no number", NUMBERS)
        value = as_number(cell)
        if not abs(value) <= FLOAT32_MAX:
            raise faulty(path, row.line, f"{shown(cell)} is too large", f"wanted numbers up to {FLOAT32_MAX:g}")
        values.append(value)
    one_decimal_sign(path, name, [row.cells[place] for row in body], [row.line for row in body])
    return values


def in_order(path: str, body: list[Row], place: int) -> list[float]:
    """Return the time of each row; raises Refused at the first that is not after the one before it."""
    times: list[float] = []
    for row in body:
        cell = row.cells[place]
        time = as_time(cell)
        if time is None:
            wanted = "wanted a number, or a date such as 2026-01-31 or 2026-01-31 12:00"
            raise faulty(path, row.line, f"{shown(cell) or 'nothing'} is no time", wanted)
        if times and not time > times[-1]:
            hint = "sort the rows by time, the earliest first, with one row for each time"
            raise faulty(path, row.line, f"{shown(cell)} is not after the time of the row before", hint)
        times.append(time)
    return times


def gaps_of(times: list[float]) -> int:
    """Return how many steps of time are longer than the usual one, the median."""
    steps = [after - before for before, after in pairwise(times)]
    usual = median(steps) if steps else 0
    return sum(step > GAP * usual for step in steps)


def missing(path: str, line: int, what: str) -> Refused:
    """Return the Refused for a missing value: a window needs every value."""
    return faulty(path, line, what, "fill it, such as with the mean of its neighbours, or remove the row")
