"""The split of a series in time: what trains never holds what validation or test predicts."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, KFold, NoValidation, Once
from d2lrun.errors import Refused
from d2lrun.tasks.forecasting.spans import check_series, fault_of, spans_of

WAYS = st.one_of(
    st.just(NoValidation("none")),
    st.just(Once("once")),
    st.floats(0.01, 0.99).map(lambda fraction: Holdout("holdout", fraction, True)),
    st.integers(2, 12).flatmap(
        lambda k: st.integers(0, k - 1).map(lambda fold: KFold("kfold", k, fold, True, True, 1, False))
    ),
)


def check(validation, tau, train):
    check_series(SimpleNamespace(validation=validation), tau, train)


@given(WAYS, st.integers(1, 20), st.integers(1, 300), st.integers(1, 50))
def test_no_training_window_holds_a_predicted_value(validation, tau, train, test):
    """Neither as an input nor as the value after it; the windows are written out."""
    assume(fault_of(validation, tau, train)[0] is None)
    spans = spans_of(validation, tau, train, train + test)
    held = {time for target in range(*spans.train) for time in range(target - tau, target + 1)}
    predicted = [{*range(*span)} for span in (spans.val, spans.test) if span]
    assert min(held) == 0 and all(held.isdisjoint(times) and times for times in predicted)
    assert all(max(held) < min(times) for times in predicted)
    assert not (spans.val and spans.test) or predicted[0].isdisjoint(predicted[1])


@given(WAYS, st.integers(1, 300))
def test_what_is_measured_does_not_depend_on_the_window(validation, train):
    assert len({spans_of(validation, tau, train, train + 9)[1:] for tau in (1, 4, 16)}) == 1


@given(st.integers(2, 12), st.integers(30, 300))
def test_folds_validate_blocks_that_follow_each_other(k, train):
    folds = [spans_of(KFold("kfold", k, fold, True, True, 1, False), 1, train, train + 5) for fold in range(k)]
    assert [fold.test for fold in folds] == [None] * k
    assert [fold.train[1] for fold in folds] == [fold.val[0] for fold in folds]  # all before the block, and no more
    assert [fold.val[1] for fold in folds] == [*(fold.val[0] for fold in folds[1:]), train]
    assert max(end - start for start, end in (fold.val for fold in folds)) - train // (k + 1) <= 1


def test_the_book_has_600_windows():
    spans = spans_of(NoValidation("none"), 4, 604, 1000)
    assert spans.train[1] - spans.train[0] == 600 and spans.test == (604, 1000)


@given(WAYS, st.integers(1, 40), st.integers(1, 60))
@example(Holdout("holdout", 0.25, True), 2, 2)  # nothing is left to validate with a shorter window either
def test_a_refusal_gives_hints_that_work(validation, tau, train):
    part, _ = fault_of(validation, tau, train)
    if part is None:
        check(validation, tau, train)
        return
    with pytest.raises(Refused) as refusal:
        check(validation, tau, train)
    for key, value in re.findall(r"(validation\.\w+|dataset\.tau)=([\d.]+)", refusal.value.hint):
        if key == "dataset.tau":
            check(validation, int(value), train)
        else:
            name = key.partition(".")[2]
            changed = {**vars(validation), name: float(value) if name == "fraction" else int(value)}
            check(type(validation)(**changed), tau, train)


def test_a_refusal_says_what_is_too_short():
    with pytest.raises(Refused, match=r"validation\.k=5 of 20 values leaves 3 to train, too few for a window of dat"):
        check(KFold("kfold", 5, None, True, True, 1, False), 4, 20)
    with pytest.raises(Refused, match=r"4 values to train, too few for a window of dataset\.tau=4 and the value after"):
        check(NoValidation("none"), 4, 4)
    with pytest.raises(Refused, match=r"validation\.fraction=0\.01 of 20 values leaves none to validate"):
        check(Holdout("holdout", 0.01, True), 4, 20)
