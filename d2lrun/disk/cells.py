"""Cells of a CSV file as people have them: any separator, decimal comma, quotes. A refusal names file and line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import compress, count
from typing import NamedTuple

import numpy as np

from d2lrun.counts import counted
from d2lrun.errors import Refused

SEPARATORS = ("\t", ";", "|", ",")  # tried in this order
SAMPLE = 1 << 16  # characters at the beginning of a file in which the separator is searched
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
PLAIN = re.compile(r"[0-9+\-.eE\n]*")  # characters of which float() reads nothing but a NUMBER
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?")  # in lower case
SHOWN = 40  # most characters of a cell in a message


class Row(NamedTuple):
    """A row of the file, and its last line."""

    line: int
    cells: list[str]


class Column:
    """A column, of which each different cell is looked at once. N rows, U different cells."""

    def __init__(self, cells: Sequence[str], missing: Sequence[str] = MISSING):
        places: defaultdict[str, int] = defaultdict(count().__next__)
        self.index = np.fromiter(map(places.__getitem__, cells), np.int64, len(cells))  # [N], of the row's cell
        self.values = list(places)  # the different cells [U], in the order of their first rows
        known = map(frozenset(missing).__contains__, map(str.lower, self.values))
        self.there = ~np.fromiter(known, bool, len(self.values))  # bool [U]: which cells have a value

    @property
    def cells(self) -> list[str]:
        """The cell of each row [N]."""
        return [self.values[place] for place in self.index.tolist()]

    @cached_property
    def first(self) -> np.ndarray:
        """The first row of each different cell: int64 [U]."""
        return np.flatnonzero(np.diff(np.maximum.accumulate(self.index), prepend=-1))

    @cached_property
    def numbers(self) -> np.ndarray:
        """The number of each different cell: float64 [U], NaN if it is none."""
        return self.spread(numbers_of(list(compress(self.values, self.there))))

    @cached_property
    def times(self) -> np.ndarray:
        """The time of each different cell: float64 [U], NaN if it is missing, and from the first on that is none."""
        found = []
        for cell in compress(self.values, self.there):
            if (time := as_time(cell)) is None:
                break
            found.append(time)
        return self.spread(found)

    def spread(self, found: Sequence[float] | np.ndarray) -> np.ndarray:
        """Return float64 [U]: what was found for the first cells that have a value, and NaN for the others."""
        spread = np.full(len(self.values), math.nan)
        spread[np.flatnonzero(self.there)[: len(found)]] = found
        return spread


@dataclass(frozen=True)
class Sheet:
    """The columns of a file whose first line has their names, and the line of each row."""

    path: str
    columns: dict[str, Column]
    lines: np.ndarray  # int64 [N]
    missing: tuple[str, ...] = MISSING  # cells without a value, in lower case
    skipped: int = 0  # rows without a value

    def first(self, name: str, wanted: np.ndarray) -> tuple[int, str] | None:
        """Return line and cell of the first row whose cell is ``wanted``, bool [U], in a column; None without any."""
        if not wanted.any():
            return None
        column, place = self.columns[name], wanted.argmax()
        return int(self.lines[column.first[place]]), column.values[place]

    def place_of(self, key: str, wanted: str) -> str:
        """Return the name of the column that is given by its name, or else by its number from 1; raises Refused."""
        names = list(self.columns)
        if wanted in self.columns:
            return wanted
        if wanted.isdecimal() and 1 <= int(wanted[:9]) <= len(names):
            return names[int(wanted) - 1]
        have = f"have: {', '.join(map(shown, names))}"
        raise Refused(f"{self.path}: {key}={shown(wanted)}: no such column ({have})", "name one of them")


def read_sheet(path: str, text: str, missing: tuple[str, ...] = MISSING) -> Sheet:
    """Return the columns of a file with a header and at least one row; raises Refused that names the line."""
    rows, skipped = [], 0
    for row in raw_rows(path, text):
        if any(map(str.strip, row.cells)):
            rows.append(row)
        elif len(row.cells) > 1:
            skipped += 1
    if not rows:
        raise faulty(path, 1, "no rows", "give a file whose first line names its columns")
    names = names_of(f"{path}, line {rows[0].line}", rows[0].cells)
    if len(rows) == 1:
        raise faulty(path, rows[0].line, "names of columns and no rows after them", "give a file with rows")
    for row in rows[1:]:
        if len(row.cells) != len(names):
            fields = f"{counted(len(row.cells), 'field')}, the first line has {len(names)}"
            raise faulty(path, row.line, fields, "quote a field that contains the separator")
    columns = zip(*(row.cells for row in rows[1:]), strict=True)  # faster to strip than the rows
    stripped = (Column([*map(str.strip, cells)], missing) for cells in columns)
    lines = np.array([row.line for row in rows[1:]])
    return Sheet(path, dict(zip(names, stripped, strict=True)), lines, missing, skipped)


def names_of(where: str, header: Sequence[str]) -> list[str]:
    """Return the names of the columns by the cells of a header; raises Refused, whose message begins with ``where``."""
    names = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
    if any(map(is_number, names)):
        hint = "give each column a name, in a file by a first line with names"
        raise Refused(f"{where}: a number, wanted the names of the columns", hint)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Refused(f"{where}: several columns are called {', '.join(map(shown, twice))}", "rename them")
    return names


def separator_of(text: str) -> str:
    """Return the separator: one that each of the first lines has equally often, or else that the first line has."""
    unquoted = re.sub(r'"[^"]*"', "x", text[:SAMPLE])
    whole = unquoted.splitlines()[: -1 if len(text) > SAMPLE else None]  # the last line may be cut
    counts = [[line.count(each) for each in SEPARATORS] for line in whole if line.strip()]
    regular = [each for each, column in zip(SEPARATORS, zip(*counts)) if min(column) == max(column) > 0]
    first = [each for each, count in zip(SEPARATORS, counts[0] if counts else ()) if count]
    return [*regular, *first, ","][0]


def read_rows(path: str, content: str) -> Iterator[Row]:
    """Yield each row, with the space around its cells removed, and none for an empty line; raises Refused."""
    for line, raw in raw_rows(path, content):
        cells = [cell.strip() for cell in raw]
        yield Row(line, cells if any(cells) or len(cells) > 1 else [])


def raw_rows(path: str, content: str) -> Iterator[Row]:
    """Yield each row as it is; raises Refused."""
    separator = separator_of(content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            yield Row(reader.line_num, cells)
    except csv.Error as error:
        raise faulty(path, max(reader.line_num, 1), f"not valid CSV: {error}", "check the quotes there") from None


def one_decimal_sign(path: str, name: str, cells: Sequence[str], lines: Sequence[int] | np.ndarray) -> None:
    """Raise Refused if numbers have decimal points and commas. No thousands separator is read: 1,234 is 1.234."""
    joined = "".join(cells)
    if "," in joined and "." in joined:
        first = {sign: next(line for cell, line in zip(cells, lines) if sign in cell) for sign in ",."}
        both = f"{shown(name)} has decimal points (line {first['.']}) and commas (line {first[',']})"
        raise Refused(f"{path}: {both}", "write all numbers with one decimal sign, and no sign between thousands")


def is_missing(cell: str) -> bool:
    """Whether a cell has no value."""
    return cell.lower() in MISSING


def is_number(cell: str) -> bool:
    """Whether a cell is a number, with a decimal point or comma."""
    return NUMBER.fullmatch(cell.replace("\u2212", "-")) is not None


def as_number(cell: str) -> float:
    """Return the number of a cell; infinity if it is too large for a float."""
    return float(cell.replace("\u2212", "-").replace(",", "."))


def numbers_of(cells: Sequence[str]) -> np.ndarray:
    """Return the number of each cell: float64 [N], NaN if it is none."""
    text = "\n".join(cells).replace("\u2212", "-").replace(",", ".")
    parts = text.split("\n")
    if len(parts) == len(cells) and PLAIN.fullmatch(text):
        with suppress(ValueError):
            return np.array([*map(float, parts)])
    return np.array([as_number(cell) if is_number(cell) else math.nan for cell in cells])


def as_time(cell: str) -> float | None:
    """Return a number, or the seconds of a date in ISO 8601 (also with / for -, or without a day); None for others."""
    if is_number(cell):
        time = as_number(cell)
        return time if math.isfinite(time) else None
    date = re.sub(r"Z$", "+00:00", cell.replace("/", "-"))
    date = f"{date}-01" if re.fullmatch(r"\d{4}-\d{2}", date) else date
    try:
        moment = datetime.fromisoformat(date)
    except ValueError:
        return None
    offset = moment.utcoffset() or timedelta()
    return (moment.replace(tzinfo=None) - datetime(1970, 1, 1) - offset).total_seconds()


def shown(text: str) -> str:
    """Return the text, cut to a readable length."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def faulty(path: str, line: int, what: str, hint: str = "correct the file") -> Refused:
    """Return the Refused for a line of a file."""
    return Refused(f"{path}, line {line}: {what}", hint)
