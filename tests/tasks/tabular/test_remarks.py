"""What is strange in a table, beside definitions that go through the rows one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.cells import Column, is_missing, is_number
from d2lrun.tasks.tabular.remarks import different_rows, names_rows, tells

CELLS = st.sampled_from(["1", "1.0", "2", "3", "a", "b", ""])
rows = st.lists(st.tuples(CELLS, st.sampled_from(["1", "2", "x"])), min_size=10, max_size=30)


def determines(pairs):
    """Whether the first cell of each pair tells the second: they are equal, or each repeats with one other cell."""
    there = [(cell, target) for cell, target in pairs if not is_missing(cell)]
    if len(there) < 10:
        return False
    cells, targets = zip(*there)
    one_each = len(set(there)) == len(set(cells))
    repeated = 1 < len(set(cells)) <= len(cells) / 2 and len(set(targets)) > 1
    if cells == targets or (one_each and repeated):
        return True
    if not all(map(is_number, cells + targets)) or len(set(targets)) < 3:
        return False
    x, y = np.array(cells, dtype=float), np.array(targets, dtype=float)
    return bool(np.ptp(x) and np.ptp(y) and abs(np.corrcoef(x, y)[0, 1]) > 1 - 1e-6)


@given(rows | rows.map(lambda pairs: [(cell, {"1": "2", "2": "1"}.get(cell, "x")) for cell, _ in pairs]))
def test_a_column_tells_the_target_as_its_rows_do(pairs):
    cells, targets = zip(*pairs)
    assert tells(Column(cells), Column(targets)) == determines(pairs)


@given(st.lists(st.integers(-50, 50), min_size=10, max_size=30), st.integers(-3, 3))
def test_a_multiple_of_the_target_is_found(numbers, factor):
    cells = [str(factor * number + 1) for number in numbers]
    pairs = [*zip(cells, map(str, numbers))]
    assert tells(Column(cells), Column([*map(str, numbers)])) == determines(pairs)


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=40))
def test_the_different_rows_are_counted(table):
    assert different_rows([Column(cells) for cells in zip(*table)]) == len(set(table))


@given(st.integers(0, 9), st.integers(1, 9), st.booleans())
def test_a_column_that_counts_the_rows_is_found(start, count, broken):
    cells = [str(start + row) for row in range(count)] + (["x"] if broken else [])
    assert names_rows(Column(cells)) == (not broken)
