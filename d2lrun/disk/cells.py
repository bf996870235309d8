"""Cells of a CSV file as people have them: any separator, decimal comma, quotes. A refusal names file and line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from d2lrun.counts import counted
from d2lrun.errors import Refused

SEPARATORS = ("\t", ";", "|", ",")  # tried in this order
SAMPLE = 1 << 16  # characters at the beginning of a file in which the separator is searched
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)
MISSING = ("", "na", "n/a", "nan", "null", "none", "-", "?")  # in lower case
SHOWN = 40  # most characters of a cell in a message


@dataclass(frozen=True)
class Row:
    """A row of the file, and its last line."""

    line: int
    cells: list[str]


@dataclass(frozen=True)
class Sheet:
    """The columns of a file whose first line has their names, and the line of each row."""

    path: str
    columns: dict[str, list[str]]
    lines: list[int]
    skipped: int = 0  # rows without a value

    def place_of(self, key: str, wanted: str) -> str:
        """Return the name of the column that is given by its name, or else by its number from 1; raises Refused."""
        names = list(self.columns)
        if wanted in self.columns:
            return wanted
        if wanted.isdecimal() and 1 <= int(wanted[:9]) <= len(names):
            return names[int(wanted) - 1]
        have = f"have: {', '.join(map(shown, names))}"
        raise Refused(f"{self.path}: {key}={shown(wanted)}: no such column ({have})", "name one of them")


def read_sheet(path: str, text: str) -> Sheet:
    """Return the columns of a file with a header and at least one row; raises Refused that names the line."""
    read = [row for row in read_rows(path, text) if row.cells]
    rows = [row for row in read if any(row.cells)]
    if not rows:
        raise faulty(path, 1, "no rows", "give a file whose first line names its columns")
    names = [name or f"column {place}" for place, name in enumerate(rows[0].cells, 1)]
    if any(map(is_number, rows[0].cells)):
        raise faulty(path, rows[0].line, "a number, wanted the names of the columns", "add a first line with names")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise faulty(path, rows[0].line, f"several columns are called {', '.join(map(shown, twice))}", "rename them")
    if len(rows) == 1:
        raise faulty(path, rows[0].line, "names of columns and no rows after them", "give a file with rows")
    for row in rows[1:]:
        if len(row.cells) != len(names):
            fields = f"{counted(len(row.cells), 'field')}, the first line has {len(names)}"
            raise faulty(path, row.line, fields, "quote a field that contains the separator")
    cells = zip(*(row.cells for row in rows[1:]), strict=True)
    return Sheet(
        path, dict(zip(names, map(list, cells), strict=True)), [row.line for row in rows[1:]], len(read) - len(rows)
    )


def separator_of(text: str) -> str:
    """Return the separator: one that each of the first lines has equally often, or else that the first line has."""
    unquoted = re.sub(r'"[^"]*"', "x", text[:SAMPLE])
    whole = unquoted.splitlines()[: -1 if len(text) > SAMPLE else None]  # the last line may be cut
    counts = [[line.count(each) for each in SEPARATORS] for line in whole if line.strip()]
    regular = [each for each, column in zip(SEPARATORS, zip(*counts)) if min(column) == max(column) > 0]
    first = [each for each, count in zip(SEPARATORS, counts[0] if counts else ()) if count]
    return [*regular, *first, ","][0]


def read_rows(path: str, content: str) -> Iterator[Row]:
    """Yield each row, with the space around its cells removed; raises Refused."""
    separator = separator_of(content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            yield Row(reader.line_num, cells if any(cells) or len(cells) > 1 else [])
    except csv.Error as error:
        raise faulty(path, max(reader.line_num, 1), f"not valid CSV: {error}", "check the quotes there") from None


def one_decimal_sign(path: str, name: str, cells: Sequence[str], lines: Sequence[int]) -> None:
    """Raise Refused if numbers have decimal points and commas. No thousands separator is read: 1,234 is 1.234."""
    first = {sign: next((line for cell, line in zip(cells, lines) if sign in cell), 0) for sign in ",."}
    if all(first.values()):
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
