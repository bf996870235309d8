from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2lrun.datasets.arithmetic import load
from d2lrun.errors import Refused

GIVEN = {"digits": 1, "operators": ["+"], "n_train": 60, "n_test": 40, "seed": 1, "batches": "random"}


def pairs(data, pool):
    return [(source, target) for source, targets in data.part(pool).cases().items() for target in targets]


@settings(max_examples=25)
@given(st.integers(1, 4), st.sets(st.sampled_from("+-*"), min_size=1), st.integers(0, 9))
def test_each_result_is_right_and_no_calculation_occurs_twice(digits, operators, seed):
    data = load(**{**GIVEN, "digits": digits, "operators": sorted(operators), "seed": seed})
    rows = [pairs(data, pool) for pool in ("train", "test", "longer")]
    assert [len(each) for each in rows] == [60, 40, 40]
    seen = {source for source, _ in rows[0] + rows[1]}
    assert len(seen) == 100 and not seen & {source for source, _ in rows[2]}
    for row, (least, most) in zip(rows, [(1, digits), (1, digits), (digits + 1, digits + 1)]):
        for source, target in row:
            operator = next(sign for sign in "+-*" if sign in source)
            first, second = source.split(operator)
            assert all(least <= len(number) <= most and str(int(number)) == number for number in (first, second))
            assert operator in operators
            value = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[operator](int(first), int(second))
            assert target == str(value)


def test_all_calculations_can_be_used():
    data = load(**GIVEN)
    assert len({source for pool in ("train", "test") for source, _ in pairs(data, pool)}) == 100


@pytest.mark.parametrize("digits", [2, 4])
def test_more_to_train_on_are_more_of_the_same_with_the_same_test_set(digits):
    few, many = (load(**{**GIVEN, "digits": digits, "n_train": count}) for count in (60, 90))
    assert pairs(many, "train")[:60] == pairs(few, "train")
    assert many.pool("test") == few.pool("test") and many.pool("longer") == few.pool("longer")
    assert load(**{**GIVEN, "digits": digits, "seed": 2}).pool("test") != few.pool("test")


@pytest.mark.parametrize(
    "changes, words, hint",
    [
        ({"n_train": 61}, "there are only 100 calculations", "dataset.digits=2"),
        ({"operators": []}, "nothing to calculate", r"dataset.operators=[+]"),
    ],
)
def test_what_cannot_be_made_is_refused(changes, words, hint):
    with pytest.raises(Refused, match=words) as caught:
        load(**{**GIVEN, **changes})
    assert hint in caught.value.hint
