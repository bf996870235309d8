"""Rows of cells in a text file: TSV, or CSV with commas or semicolons. A refusal names the file and the line."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from d2lrun.counts import counted
from d2lrun.errors import Refused

# A cell of a TSV file: in quotes, with "" for a quote, and then tabs belong to it; or anything else up to the next tab.
CELL = re.compile(r'"((?:[^"]|"")*)"(?=\t|$)|([^\t]*)')


@dataclass(frozen=True)
class Rows:
    """The rows of a file that are not blank, all with the same number of cells, and the line at which each begins."""

    cells: list[list[str]]
    numbers: list[int]


def read_rows(path: str, text: str) -> Rows:
    """Return the rows of a file, at least one; raises Refused for the first row of another length.

    The ending .tsv, .tab or .txt means tabs and .csv commas; else a file with a tab in its first line has tabs. A csv
    file without a comma in its first line has semicolons, as Excel writes in many countries. In a csv file a text in
    quotes may have line ends; in a TSV file each line is a row, and a quote is only special around a whole cell.
    """
    first = next((line for line in io.StringIO(text) if line.strip()), "")
    ending = os.path.splitext(path)[1].lower()
    tabs = ending in (".tsv", ".tab", ".txt") or (ending != ".csv" and "\t" in first)
    rows = Rows([], [])
    for number, cells in tsv(text) if tabs else csv_rows(path, text, "," if "," in first else ";"):
        if not any(cell.strip() for cell in cells):
            continue
        if rows.cells and len(cells) != len(rows.cells[0]):
            wanted = f"wanted {len(rows.cells[0])}, as in line {rows.numbers[0]}"
            advice = f"a text with a {'tab' if tabs else 'comma'} stands in quotes; a quote inside is doubled"
            raise Refused(f"{path}, line {number}: {counted(len(cells), 'column')}, {wanted}", advice)
        rows.cells.append(cells)
        rows.numbers.append(number)
    if not rows.cells:
        raise Refused(f"{path} has no row", "give a file with a text and a label in each line")
    return rows


def tsv(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line with tabs between them."""
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        yield number, [*cells_of(line.rstrip("\n"))]


def cells_of(line: str) -> Iterator[str]:
    """Yield the cells of a line of a TSV file."""
    place = 0
    while place <= len(line):
        found = CELL.match(line, place)
        assert found is not None  # the last alternative matches any text
        quoted, plain = found.groups()
        yield plain if quoted is None else quoted.replace('""', '"')
        place = found.end() + 1


def csv_rows(path: str, text: str, comma: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the cells of each row of a csv file; raises Refused."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        advice = "a text with a comma or a quote stands in quotes, and a quote inside is doubled; or give a TSV file"
        raise Refused(f"{path}, line {line}: {error}", advice) from None
