import math

import pytest

from d2lrun.report.figure import new_figure
from d2lrun.report.scale import scale_of


def test_near_values_have_a_linear_axis_from_least_to_greatest():
    scale = scale_of([0.4, 0.5, math.nan, 0.9])
    assert (scale.low, scale.high, scale.log) == (0.4, 0.9, False)


def test_two_decades_make_it_logarithmic():
    assert scale_of([0.02, 2.3]).log
    assert not scale_of([0.0, 2.3]).log


@pytest.mark.parametrize("values", [[0.4, 0.5, 1e9], [0.4, 1e9], [0.4, 0.5, 0.6, 2.3, 1e9], [0.0, 0.1, 1e30]])
def test_an_outlier_is_cut_and_the_rest_is_in_view(values):
    scale = scale_of(values)
    assert not scale.holds(values[-1])
    assert all(map(scale.holds, values[:-1]))
    assert scale.high < 3


def test_one_that_is_almost_nothing_is_cut_and_the_rest_is_in_view():
    """A model that has learned its rows by heart, beside those with ever more weight decay."""
    losses = [4e-11, 2e-5, 1.7e-4, 1.5e-3, 0.008, 0.02, 0.24, 0.75, 15, 76, 122, 154]
    scale = scale_of(losses)
    assert (scale.low, scale.high, scale.log) == (2e-5, 154, True)
    assert not scale.holds(4e-11) and scale.edge(4e-11) < 0.1 and scale.edge(1e9) > 0.9


def test_what_is_spread_over_decades_loses_nothing_up_to_four_of_them():
    assert scale_of([1e-4, 1e-3, 1e-2, 0.5]).holds(0.5)


@pytest.mark.parametrize("values", [[], [math.nan], [0.0], [0.5], [-1.0, -1.0]])
def test_no_spread_is_an_axis_too(values):
    axes = new_figure(300, 300).subplots()
    scale_of(values).apply(axes)
    low, high = axes.get_ylim()
    assert low < high


def test_error_bars_of_what_is_in_view_are_in_view():
    axes = new_figure(300, 300).subplots()
    scale_of([0.4, 0.5]).apply(axes, bars=[(0.4, 0.3), (0.5, 0.4)])
    low, high = axes.get_ylim()
    assert low < 0.1 and high > 0.9


def test_ticks_of_a_logarithmic_axis_are_numbers_not_formulas():
    figure = new_figure(300, 300)
    axes = figure.subplots()
    scale_of([0.001, 10.0]).apply(axes)
    figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()].count("0.01") == 1
