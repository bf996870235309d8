"""Several steps ahead and baselines, against loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from d2lrun.config.keys import Holdout, NoValidation
from d2lrun.tasks.forecasting import baselines as baselines_file
from d2lrun.tasks.forecasting import predict
from d2lrun.tasks.forecasting.baselines import autoregression, baselines_of, one_step_errors
from d2lrun.tasks.forecasting.predict import continued, errors, errors_everywhere, forecast, step_of, steps_ahead
from d2lrun.tasks.forecasting.series import Scale, SeriesDataset

WHOLE = NoValidation("none")


def noisy(count, seed=0):
    times = np.arange(1, count + 1)
    return np.sin(0.05 * times) + 0.2 * np.random.default_rng(seed).normal(size=count)


def dataset(count=300, train=200, tau=4, **more):
    return SeriesDataset("made", torch.from_numpy(noisy(count)), train, "here", tau=tau, **more)


def halves(windows):
    """A step that is not linear and depends on the order of a window."""
    return torch.tanh(windows @ torch.linspace(0.2, 0.5, windows.shape[1], dtype=torch.float64))


def by_hand(x, tau, ahead, step):
    """The book's matrix: one row for each start, one number at a time."""
    rows = []
    for start in range(len(x) - tau - ahead + 1):
        row = list(x[start : start + tau])
        for _ in range(ahead):
            row.append(step(torch.tensor([row[-tau:]], dtype=torch.float64)).item())
        rows.append(row)
    return np.array(rows)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(16, 30))
def test_the_first_rows_are_the_matrix_of_the_book(tau, ahead, count):
    x = noisy(count)
    wanted = by_hand(x, tau, ahead, halves)
    found = steps_ahead(halves, torch.from_numpy(x), tau, ahead)
    assert found.shape == (count - tau, tau + ahead)
    assert np.allclose(found[: len(wanted)], wanted)


def test_the_matrix_of_the_book_has_933_rows_for_the_times_4_to_999():
    data = dataset(1000, 604)
    found = forecast(halves, data.split(WHOLE).test)
    assert {k: len(ahead) - 64 + k for k, ahead in found.ahead.items()} == dict.fromkeys((1, 4, 16, 64), 933)
    assert {k: found.start(k) for k in found.ahead} == {1: 4, 4: 7, 16: 19, 64: 67}  # 4 + k from 1: 3 + k from 0
    assert (found.begin, found.end, len(found.free)) == (604, 1000, 396)


def test_errors_are_those_of_the_matrix():
    data = dataset()
    x, matrix = data.values.numpy(), by_hand(data.values.numpy(), 4, 64, halves)
    found = forecast(halves, data.split(WHOLE).test)
    whole, part = errors_everywhere(found, data.values), errors(found, data.values)
    for k in (1, 4, 16, 64):
        wanted = np.sqrt(np.mean((matrix[:, 3 + k] - x[3 + k :][: len(matrix)]) ** 2))
        assert whole[k] == pytest.approx(wanted)
        ahead = [by_hand(x[t - k - 3 : t + 1], 4, k, halves)[0, -1] for t in range(200, 300)]
        assert part[k] == pytest.approx(np.sqrt(np.mean((np.array(ahead) - x[200:]) ** 2)))


def test_the_free_run_reads_its_own_outputs():
    x = noisy(30)
    wanted = list(x)
    for _ in range(12):
        wanted.append(halves(torch.tensor([wanted[-4:]], dtype=torch.float64)).item())
    assert np.allclose(continued(halves, torch.from_numpy(x), 4, 12), wanted[30:])


def test_a_long_series_is_predicted_at_its_end(monkeypatch):
    monkeypatch.setattr(predict, "LONGEST", 80)
    data = dataset()
    found = forecast(halves, data.split(WHOLE).test)
    assert (found.first, found.begin, found.end, len(found.ahead[1])) == (216, 220, 300, 80)
    assert found.ahead[1][0] == halves(data.values[None, 216:220])[0]


def test_a_short_series_has_fewer_steps():
    found = forecast(halves, dataset(12, 8).split(WHOLE).test)
    assert list(found.ahead) == [1, 4]


def test_a_fold_never_looks_at_the_test_values():
    data = dataset()
    changed = SeriesDataset("made", torch.cat((data.values[:200], data.values[200:] * 9)), 200, "here")
    part = Holdout("holdout", 0.2, True)
    one, other = (forecast(halves, each.split(part).val) for each in (data, changed))
    assert one.end == 200 and all(torch.equal(one.ahead[k], other.ahead[k]) for k in one.ahead)


def test_a_step_of_a_model_is_in_the_units_of_the_data():
    model, scale = torch.nn.Linear(3, 1), Scale(50.0, 10.0)
    windows = torch.rand(7, 3, dtype=torch.float64) * 20 + 40
    with torch.no_grad():
        wanted = model(((windows - 50) / 10).float())[:, 0].double() * 10 + 50
    assert torch.allclose(step_of(model, scale, "cpu", size=2)(windows), wanted, atol=1e-5)


@given(st.integers(1, 8), st.integers(12, 60), st.sampled_from([0.0, 1e6]))
def test_the_autoregression_has_the_least_squared_error(tau, count, offset):
    x = noisy(count) + offset
    rows = np.array([[*x[t - tau : t], 1.0, x[t]] for t in range(tau, count)])
    weights = autoregression(torch.from_numpy(x), tau).numpy()
    centred = np.column_stack((rows[:, :tau] - offset, rows[:, tau]))
    best = np.linalg.lstsq(centred, rows[:, -1] - offset, rcond=None)[0]
    residual = np.linalg.norm(rows[:, :-1] @ weights - rows[:, -1])
    assert residual == pytest.approx(np.linalg.norm(centred @ best - rows[:, -1] + offset), rel=1e-5, abs=1e-6)


def test_the_autoregression_is_the_same_block_by_block(monkeypatch):
    values = torch.from_numpy(noisy(500))
    whole = autoregression(values, 6)
    monkeypatch.setattr(baselines_file, "BLOCK", 100)
    assert torch.allclose(autoregression(values, 6), whole)


def test_an_autoregressive_series_is_predicted_exactly():
    x = [1.0, 2.0]
    for _ in range(60):
        x.append(1.5 * x[-1] - 0.9 * x[-2] + 0.3)
    assert autoregression(torch.tensor(x, dtype=torch.float64), 2).tolist() == pytest.approx([-0.9, 1.5, 0.3])


def test_the_last_value_is_off_by_the_differences():
    split = dataset().split(WHOLE)
    found = one_step_errors(baselines_of(split.train), split.test)
    x = split.test.data.values.numpy()
    assert found["last value"] == pytest.approx(np.sqrt(np.mean((x[200:] - x[199:-1]) ** 2)))
    assert found["mean"] == pytest.approx(np.sqrt(np.mean((x[200:] - x[4:200].mean()) ** 2)))
    weights = autoregression(torch.from_numpy(x[:200]), 4).numpy()
    ahead = [x[t - 4 : t] @ weights[:4] + weights[4] for t in range(200, 300)]
    assert found["linear autoregression"] == pytest.approx(np.sqrt(np.mean((x[200:] - ahead) ** 2)))


def test_the_last_value_stays_for_all_steps():
    data = dataset()
    last = baselines_of(data.split(WHOLE).train)["last value"]
    found = errors(forecast(last, data.split(WHOLE).test), data.values)
    x = data.values.numpy()
    assert found == pytest.approx({k: np.sqrt(np.mean((x[200:] - x[200 - k : -k]) ** 2)) for k in (1, 4, 16, 64)})


def test_baselines_are_fitted_on_what_trains():
    data = dataset()
    later = SeriesDataset("made", torch.cat((data.values[:200], data.values[200:] * 9)), 200, "here")
    windows = data.values.unfold(0, 4, 1)
    pairs = zip(baselines_of(data.split(WHOLE).train).values(), baselines_of(later.split(WHOLE).train).values())
    assert all(torch.equal(one(windows), other(windows)) for one, other in pairs)


def test_a_very_long_window_has_no_autoregression(monkeypatch):
    monkeypatch.setattr(baselines_file, "LONGEST", 3)
    assert list(baselines_of(dataset().split(WHOLE).train)) == ["last value", "mean"]
