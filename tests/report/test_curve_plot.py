"""The chart of curves: a band wherever there is an interval."""

import math

import matplotlib.pyplot as plt
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
