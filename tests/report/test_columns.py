from io import StringIO

import pytest
from rich.console import Console

from d2lrun.report.columns import Column, fitted


def show(width, *layouts):
    console = Console(file=StringIO(), width=width)
    table, dropped = fitted(console, *layouts)
    console.print(table)
    return console.file.getvalue(), dropped


COLUMNS = [
    Column("lr", ["0.1", "0.5"], number=False),
    Column("accuracy", ["0.8", "0.9"], 50),
    Column("time", ["1.8 s", "1.9 s"], 40),
]


def test_the_least_wanted_column_goes_first():
    assert [show(width, COLUMNS)[1] for width in (40, 18, 8)] == [[], ["time"], ["accuracy", "time"]]


def test_what_is_needed_stays_however_narrow_it_is():
    assert "".join(show(3, COLUMNS)[0].split()).startswith("lr")


def test_a_layout_that_cannot_fit_gives_way_to_the_next():
    wide = [Column("a", ["x" * 30]), Column("b", ["y" * 30])]
    narrow = [Column("job", ["x y"], number=False)]
    assert "job" in show(40, wide, narrow)[0]
    assert "job" not in show(80, wide, narrow)[0]


@pytest.mark.parametrize("text", ["[red]x[/red]", "汉服", "★"])
def test_cells_are_text(text):
    assert text in show(40, [Column("a", [text], number=False)])[0]


def test_wide_letters_count_twice():
    letters = Column("a", ["汉" * 10], number=False)
    assert show(24, [letters, Column("b", ["1"], 1)])[1] == ["b"]
    assert show(30, [letters, Column("b", ["1"], 1)])[1] == []


def test_no_rows():
    assert "lr" in show(40, [Column("lr", [])])[0]
