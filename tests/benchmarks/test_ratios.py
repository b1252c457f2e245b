import numpy as np
import pytest

from benchmarks.ratios import Sample, kept, median, ratio, slope


def samples(*seconds, disturbed=()):
    return [Sample(value, i in disturbed) for i, value in enumerate(seconds)]


def test_median_ignores_disturbed_samples():
    assert median(samples(1.0, 2.0, 3.0, 90.0, 80.0, disturbed=(3, 4))) == 2.0


def test_median_of_disturbed_samples_only():
    assert median(samples(4.0, 6.0, 8.0, disturbed=(0, 1, 2))) == 6.0


def test_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds():
    found = ratio(samples(2.0, 6.0, 4.0, 8.0, 10.0), samples(1.0, 2.0, 2.0, 2.0, 2.0))
    assert found.value == 6.0 / 2.0
    # Rounds: 2, 3, 2, 4, 5.
    assert (found.low, found.high) == (2.0, 4.0)


def test_a_round_in_which_either_was_disturbed_is_not_paired():
    above, below = samples(2.0, 50.0, 4.0, disturbed=(1,)), samples(1.0, 1.0, 70.0, disturbed=(2,))
    assert kept(above) == {0: 2.0, 2: 4.0}
    found = ratio(above, below)
    assert (found.value, found.low, found.high) == (3.0, 2.0, 2.0)


def test_ratio_without_a_common_round():
    found = ratio(samples(2.0, 9.0, disturbed=(1,)), samples(9.0, 1.0, disturbed=(0,)))
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 2.5])
def test_slope_of_a_power_law(power):
    sizes = np.array([1.0, 2.0, 8.0, 64.0])
    assert slope(sizes, 3.0 * sizes**power) == pytest.approx(power, abs=1e-9)
