"""How columns become features, beside a definition for one row at a time."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.disk.cells import Column, as_number, as_time, is_missing, is_number
from d2lrun.tasks.tabular.encoding import encode, features_of, field_of, kind_of, learn

POOLS = [
    ["1", "2.5", "-3", "", "NA"],
    ["2020-01-01", "2021-05-03", "?"],
    ["2020-01-01", "7"],
    ["Rom", "Bonn", "Köln", "1", "null"],
    [f"text {n}" for n in range(30)],
]
columns = st.sampled_from(POOLS).flatmap(lambda pool: st.lists(st.sampled_from(pool), min_size=1, max_size=40))


def kind(cells):
    there = [cell for cell in cells if not is_missing(cell)]
    if all(is_number(cell) for cell in there):
        return "number"
    if all(as_time(cell) is not None for cell in there):
        return "date"
    different = len(set(there))
    return "category" if different <= 10 or (different <= 1000 and len(there) >= 2 * different) else "text"


@given(columns)
def test_the_kind_of_a_column_is_that_of_its_cells(cells):
    assert kind_of(Column(cells)) == kind(cells)


@given(columns, columns)
def test_two_tables_become_features_row_by_row(train, test):
    both, known = [Column(train), Column(test)], kind(train)
    if known == "text" or (known != "category" and kind(test) not in (known, "number")):
        return
    encoded = encode([field_of("a", known, both)], *({"a": column} for column in both))
    features = features_of(encoded, learn(encoded, torch.arange(len(train))))
    cells = [*train, *test]
    if known == "category":
        names = sorted({cell for cell in cells if not is_missing(cell)})
        seen = {*train} | ({None} if any(map(is_missing, train)) else set())
        wanted = [
            [cell == name and name in seen for name in names] + [is_missing(cell) and None in seen] for cell in cells
        ]
        assert features.tolist() == wanted
        return
    read = as_number if known == "number" else lambda cell: as_time(cell) / 86400
    there = [read(cell) for cell in train if not is_missing(cell)]
    mean, deviation = statistics.fmean(there or [0]), statistics.stdev(there) if len(there) > 1 else 0
    wanted = [0 if is_missing(cell) or not deviation else (read(cell) - mean) / deviation for cell in cells]
    assert features[:, 0].tolist() == pytest.approx(wanted, rel=1e-5, abs=1e-6 if math.isfinite(mean) else 0)
