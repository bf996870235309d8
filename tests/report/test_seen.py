"""A sweep says under- and overfitting only if its losses show it."""

from __future__ import annotations

import pytest

from d2lrun.report.seen import seen

DEGREES = [1, 4, 20]


def sweep_of(make_sweep, losses, key="dataset.degree"):
    """A sweep whose values have these (train, val) losses."""
    sweep = make_sweep({key: list(losses)}, metric="val_loss", direction="min")
    for group, (train, val) in zip(sweep["groups"], losses.values(), strict=True):
        group["metrics"] = {"train_loss": {"mean": train, "std": None}, "val_loss": {"mean": val, "std": None}}
    return sweep


def test_both_ends_of_the_capacity_are_judged(make_sweep):
    text = seen(sweep_of(make_sweep, {1: (9.0, 8.0), 4: (0.2, 0.3), 20: (0.1, 0.9)}))
    assert text.startswith("val loss is lowest at dataset.degree=4 (0.300)")
    assert "at 20 train loss is lower (0.100 against 0.200), val loss is higher (0.900): overfitting" in text
    assert "at 1 train loss (9.000) and val loss (8.000) are both higher: underfitting" in text


@pytest.mark.parametrize(
    "losses",
    [
        {1: (0.2, 0.31), 4: (0.2, 0.3), 20: (0.1, 0.32)},  # alike within a tenth
        {1: (0.21, 9.0), 4: (0.2, 0.3)},  # neither: train loss is hardly higher
        {4: (0.2, 0.3)},
    ],
)
def test_nothing_is_said_that_the_losses_do_not_show(make_sweep, losses):
    assert seen(sweep_of(make_sweep, losses)) is None


def test_a_learning_rate_neither_under_nor_overfits(make_sweep):
    assert seen(sweep_of(make_sweep, {0.001: (9.0, 8.0), 0.1: (0.2, 0.3)}, "optimizer.lr")) is None


def test_names_are_judged_each_and_a_good_one_is_said_to_be_so(make_sweep):
    text = seen(sweep_of(make_sweep, {"normal": (0.1, 0.1), "line": (9.0, 7.0), "all": (0.1, 0.105)}, "experiment"))
    assert "at line" in text and "underfitting" in text and "all is as good within a tenth (0.105)" in text
