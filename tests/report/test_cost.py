"""Growth exponents of evaluation costs."""

import math

import pytest

from posext.report.cost import growth


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_growth_of_a_power_law_is_its_exponent(power):
    lengths = [2.0**k for k in range(6, 13)]
    assert growth(lengths, [3 * n**power for n in lengths]) == pytest.approx((power, 1.0))


def test_growth_fits_long_contexts_and_tells_its_misfit():
    lengths = [2.0**k for k in range(4, 14)]
    costs = [1e6 + n**2 for n in lengths]  # a constant, outgrown in the end
    exponent, misfit = growth(lengths, costs)
    assert 0.5 < exponent < 2
    assert misfit > 1.3


def test_growth_without_enough_values_is_nan():
    assert math.isnan(growth([64, 128, 256], [math.nan, 0.0, 3.0]).exponent)
