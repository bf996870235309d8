"""A series in memory: its windows, its scale, and its identity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, NoValidation
from d2lrun.errors import Refused
from d2lrun.tasks.forecasting.series import SeriesDataset
from d2lrun.tasks.forecasting.task import Forecasting

WHOLE = NoValidation("none")
HELD = Holdout("holdout", 0.25, True)


def series(count=40, train=30, **changes):
    values = torch.from_numpy(np.random.default_rng(3).normal(50, 10, count))
    return replace(SeriesDataset("mine", values, train, "here"), **changes)


@given(st.integers(1, 9), st.integers(1, 7))
def test_a_window_is_the_values_before_the_target(tau, size):
    data = series(tau=tau)
    x = data.values.numpy().astype(np.float32)
    split = data.split(HELD)
    for part, times in ((split.train, range(tau, 22)), (split.val, range(22, 30)), (split.test, range(30, 40))):
        loaded = [part.load(batch) for (batch,) in part.ordered(size)]
        assert np.array_equal(torch.cat([inputs for inputs, _ in loaded]), [x[t - tau : t] for t in times])
        assert np.array_equal(torch.cat([targets for _, targets in loaded])[:, 0], [x[t] for t in times])


def test_the_batches_of_an_epoch_hold_each_window_once():
    part = series().split(WHOLE).train
    first, second = (part.shuffled(8, 1, epoch) for epoch in (0, 1))
    assert sorted(torch.cat(first).tolist()) == list(range(4, 30))
    assert [len(batch) for batch in first] == [8, 8, 8, 2]
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_the_scale_is_that_of_the_values_that_train():
    data = series(normalise="standard")
    train = data.split(HELD).train
    known = data.values[:22].numpy()
    assert (train.scale.mean, train.scale.deviation) == pytest.approx((known.mean(), known.std()))
    assert torch.allclose(train.series.double(), (data.values - known.mean()) / known.std(), atol=1e-6)
    assert torch.allclose(train.scale.original(train.series), data.values, atol=1e-4)
    assert torch.equal(series().split(HELD).train.series, data.values.float())


def test_later_values_do_not_change_the_scale():
    data = series(normalise="standard")
    later = replace(data, values=torch.cat((data.values[:22], data.values[22:] * 100)))
    assert data.split(HELD).train.scale == later.split(HELD).train.scale
    assert data.split(WHOLE).train.scale != later.split(WHOLE).train.scale


def test_a_constant_series_has_a_scale():
    data = series(values=torch.full((40,), 7.0, dtype=torch.float64), normalise="standard")
    assert data.split(WHOLE).train.series.tolist() == [0.0] * 40


def test_a_large_offset_loses_no_digits():
    data = series(normalise="standard")
    moved = replace(data, values=data.values + 1e9)
    assert torch.allclose(moved.split(WHOLE).train.series, data.split(WHOLE).train.series, atol=1e-5)


@pytest.mark.parametrize("normalise", ["none", "standard"])
def test_rmse_is_in_the_units_of_the_data(normalise):
    """The prediction is always what the network sees as 0."""
    part = series(normalise=normalise).split(HELD).val
    _, targets = part.load(part.index)
    task = Forecasting()
    sums = task.count(torch.zeros_like(targets), targets, task.loss(torch.zeros_like(targets), targets))
    found = task.metrics("val", sums, part.size, part)
    errors = part.targets - part.scale.mean
    assert found["val_rmse"] == pytest.approx(errors.square().mean().sqrt().item(), rel=1e-5)
    assert found["val_loss"] == pytest.approx((found["val_rmse"] / part.scale.deviation) ** 2)
    assert task.metrics("val", sums, part.size).keys() == {"val_loss"}


def test_the_floor_is_the_mean_of_the_training_targets():
    split = series().split(HELD)
    x = split.train.data.values.numpy()
    wanted = np.sqrt(np.mean((x[22:30] - x[4:22].mean()) ** 2))
    assert Forecasting().floor(split.train, split.val) == pytest.approx(wanted)
    assert Forecasting().at_chance(2.0, 2.0) and not Forecasting().at_chance(1.9, 2.0)


def measured(data, validation=HELD):
    return Forecasting().measured_on(data.split(validation).val)


def test_windows_of_any_length_are_measured_on_the_same_values():
    assert measured(series(tau=2)) == measured(series(tau=9))
    assert measured(series(train=30)) == measured(series(count=35, train=30))  # other test values
    assert measured(series()) != measured(series(train=31))
    assert measured(series())["rmse"] != measured(series(values=series().values + 1))["rmse"]


def test_only_the_loss_depends_on_the_scale():
    one, other = measured(series()), measured(series(normalise="standard"))
    assert one["rmse"] == other["rmse"] and one["loss"] != other["loss"]


def test_a_made_series_reads_no_file():
    with pytest.raises(Refused, match=r"a\.csv: the series of this run is made"):
        series().read("a.csv")
