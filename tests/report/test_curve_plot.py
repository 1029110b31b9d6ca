"""The chart of curves: a band wherever there is an interval."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from helpers.pages import rows_of

from posext.report import curve_plot


@pytest.mark.parametrize(("half_width", "has_band"), [(0.1, True), (math.nan, False)])
def test_plot_curve_has_a_band_where_there_is_an_interval(half_width, has_band):
    rows = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    rows = rows.assign(nll_low=rows.nll - half_width, nll_high=rows.nll + half_width)
    axes = plt.figure().subplots()
    curve_plot.plot_curve(axes, rows, "C0", "-")
    outlines = [path for band in axes.collections for path in band.get_paths()]
    assert any(len(path.vertices) for path in outlines) == has_band
    plt.close()


def drawn(rows, **changes):
    """The labels of the lines, and how many crop baselines there are."""
    axes = plt.figure().subplots()
    rows = rows.assign(**changes)
    curve_plot.plot_lines(axes, rows, rows)
    labels = [line.get_label() for line in axes.get_lines()]
    plt.close()
    named = [label for label in labels if not str(label).startswith("_")]
    return named, len(labels) - len(named)


def test_plot_lines_tells_runs_of_one_scheme_and_seed_apart():
    rows = [rows_of("rope", [3.0, 2.5, 2.6, loss], run=f"r{loss}") for loss in (2.7, 2.8)]
    assert drawn(pd.concat(rows))[0] == ["rope · r2.7", "rope · r2.8"]
    seeds = [rows_of("rope", [3.0, 2.5, 2.6, 2.7], run=f"r{n}", seed=n) for n in (0, 1)]
    assert drawn(pd.concat(seeds))[0] == ["rope (2 seeds)"]


def test_plot_lines_has_crop_baselines_where_lengths_are_comparable():
    rows = rows_of("rope", [3.0, 2.5, 2.6, 2.7])
    assert drawn(rows) == (["rope"], 1)
    assert drawn(rows, protocol="per_position") == (["rope [per_position]"], 0)


def test_plot_lines_draws_each_of_many_schemes_as_no_other():
    rows = pd.concat([rows_of(f"s{number}", [3.0, 2.5, 2.6, 2.7]) for number in range(23)])
    axes = plt.figure().subplots()
    curve_plot.plot_lines(axes, rows, rows)
    looks = [
        (line.get_color(), line.get_marker())
        for line in axes.get_lines()
        if not str(line.get_label()).startswith("_")
    ]
    plt.close()
    assert len(looks) == len(set(looks)) == 23


def test_length_ticks_are_powers_of_two_among_many():
    assert curve_plot.length_ticks([100, 128, 300]) == [100, 128, 300]
    assert curve_plot.length_ticks([*range(1, 101)]) == [1, 2, 4, 8, 16, 32, 64]
