"""A measured number and its interval: what it is, how often it is right, and how it is written."""

import math

import numpy as np
import pytest
from scipy import stats

from convnet.claims import Estimate, apart, counted, exact, mean_of


def test_a_computed_number_is_its_own_interval():
    assert exact(np.float32(0.5)) == Estimate(0.5, 0.5, 0.5, 0, "")
    assert exact(7) == Estimate(7.0, 7.0, 7.0)
    assert all(type(value) is float for value in exact(np.int64(3))[:3])


def test_a_mean_has_students_interval():
    """t of two degrees of freedom has the quantile 0.975 where x / √(2 + x²) = 0.95."""
    t = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    found = mean_of([1, 2, 6])
    deviation = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2)
    assert found.value == 3
    assert found.low == pytest.approx(3 - t * deviation / math.sqrt(3), rel=1e-12)
    assert found.high == pytest.approx(3 + t * deviation / math.sqrt(3), rel=1e-12)
    assert (found.n, found.of) == (3, "seeds")
    assert mean_of([1, 2], "pairs").of == "pairs"


@pytest.mark.parametrize("values", [[4.0], [4, 4, 4]], ids=["one", "equal"])
def test_what_does_not_vary_has_no_interval(values):
    found = mean_of(values)
    assert (found.value, found.n) == (4, len(values))
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="expected one value or more"):
        mean_of([])


def test_the_interval_of_a_mean_holds_it_in_95_of_100_cases():
    """Normal values, 6 of them, 1000 times; within four standard deviations of the share."""
    rng = np.random.default_rng(0)
    found = [mean_of(rng.normal(3, 2, 6)) for _ in range(1000)]
    held = np.mean([one.low <= 3 <= one.high for one in found])
    assert abs(held - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 7), (7, 7), (1, 7), (3, 10), (39, 40), (500, 1000)])
def test_a_share_has_the_interval_of_clopper_and_pearson(hits, n):
    """Quantiles of beta distributions; at the ends a power."""
    low = stats.beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    found = counted(hits, n, "images")
    assert found.value == hits / n
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-9), pytest.approx(high, abs=1e-9))
    assert (found.n, found.of) == (n, "images")
    if hits == 0:
        assert found.high == pytest.approx(1 - 0.025 ** (1 / n), abs=1e-9)
    if hits == n:
        assert found.low == pytest.approx(0.025 ** (1 / n), abs=1e-9)


@pytest.mark.parametrize("n", [1, 5, 20])
def test_the_interval_of_a_share_holds_it_in_95_of_100_cases_whatever_it_is(n):
    """By summing over all counts, not by drawing them."""
    intervals = [counted(hits, n, "images") for hits in range(n + 1)]
    for share in np.linspace(0.005, 0.995, 100):
        chances = stats.binom.pmf(np.arange(n + 1), n, share)
        held = [one.low <= share <= one.high for one in intervals]
        assert chances[held].sum() >= 0.95 - 1e-12


def test_the_interval_of_a_share_holds_it_when_drawn():
    rng = np.random.default_rng(1)
    cached = [counted(hits, 30, "images") for hits in range(31)]
    drawn = rng.binomial(30, 0.3, 2000)
    assert np.mean([cached[hits].low <= 0.3 <= cached[hits].high for hits in drawn]) >= 0.95 - 4 * 0.005


@pytest.mark.parametrize(("hits", "n"), [(-1, 5), (6, 5), (0, 0), (2.5, 5), (2, 5.5), (math.nan, 5)])
def test_counts_that_are_none_are_refused(hits, n):
    with pytest.raises(ValueError, match="expected whole numbers, 0 ≤ hits ≤ n and n ≥ 1"):
        counted(hits, n, "images")


def test_counts_of_numpy_are_counts():
    assert counted(np.sum([True, False]), np.int64(2), "images") == counted(1, 2, "images")
    assert type(counted(np.int64(1), np.int64(2), "images").n) is int


SHOWN = {
    exact(0): "0",
    exact(-0.0): "0",
    exact(12345): "12,345",
    exact(-3): "-3",
    exact(123456.5): "1.23e+05",
    exact(2e-13): "2e-13",
    exact(0.123456): "0.123",
    exact(math.inf): "inf",
    exact(math.nan): "nan",
    Estimate(0.5, 0.25, 1.0, 8, "seeds"): "0.5 (0.25 … 1; 8 seeds)",
    Estimate(4.0, math.nan, math.nan, 3, "seeds"): "4 (no interval; 3 seeds)",
    counted(2, 2, "images"): "1 (0.158 … 1; 2 images)",
}


@pytest.mark.parametrize("estimate", SHOWN, ids=str)
def test_how_it_is_written(estimate):
    assert str(estimate) == SHOWN[estimate]


def test_apart_is_relative_to_what_was_expected():
    assert apart(np.array([1.0, 3.0]), np.array([1.0, -4.0])) == 7 / 4
    assert apart(np.ones((2, 1)), np.ones(2)) == math.inf
