"""Intervals and tests: against tables and closed forms, and against their own promises."""

import math

import numpy as np
import pytest

from convnet.ablation import (
    bootstrap_interval,
    divergence_p,
    holm,
    mean_interval,
    paired_effects,
    paired_p,
    smallest_detectable,
)


def test_against_the_t_table():
    # t(0.975, 4) = 2.776 in every table; s = √2.5 for 1 … 5
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=2e-4)
    assert (interval.low + interval.high) / 2 == pytest.approx(3)


def test_covers_the_true_mean_as_often_as_promised(rng):
    samples = rng.normal(loc=0.3, size=(2000, 5))
    covered = np.mean([low <= 0.3 <= high for _, low, high in map(mean_interval, samples)])
    assert covered == pytest.approx(0.95, abs=0.02)  # four standard errors of a proportion of 2000


def test_one_value_has_no_interval():
    interval = mean_interval([0.5])
    assert interval.mean == 0.5
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_refuses_no_values_and_bad_confidence():
    with pytest.raises(ValueError, match=r"values are \[\]"):
        mean_interval([])
    with pytest.raises(ValueError, match=r"confidence 1\.5"):
        mean_interval([1, 2], confidence=1.5)


# --- bootstrap --------------------------------------------------------------------------------------------------------


def test_bootstrap_agrees_with_the_t_interval_where_both_hold(rng):
    values = rng.normal(size=60)
    found, expected = bootstrap_interval(values), mean_interval(values)
    assert found.mean == expected.mean
    assert found.low == pytest.approx(expected.low, abs=0.05)
    assert found.high == pytest.approx(expected.high, abs=0.05)


def test_bootstrap_leans_with_the_values():
    found = bootstrap_interval([1.0] * 9 + [0.0])
    assert found.mean - found.low > 2 * (found.high - found.mean)


def test_bootstrap_repeats_by_its_seed(rng):
    values = rng.normal(size=8)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values)


def test_bootstrap_of_what_does_not_vary():
    assert bootstrap_interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    one = bootstrap_interval([0.7])
    assert (one.mean, math.isnan(one.low), math.isnan(one.high)) == (0.7, True, True)
    two = bootstrap_interval([0.5, 0.7])  # BCa has too little to go by
    assert 0.5 <= two.low <= two.mean <= two.high <= 0.7


def test_bootstrap_without_bca_takes_percentiles(monkeypatch, rng):
    from scipy import stats

    methods, real = [], stats.bootstrap

    def without_bca(*args, method, **settings):
        methods.append(method)
        found = real(*args, method="percentile", **settings)
        if method == "BCa":
            found.confidence_interval = type(found.confidence_interval)(math.nan, math.nan)
        return found

    monkeypatch.setattr(stats, "bootstrap", without_bca)
    interval = bootstrap_interval(rng.normal(size=6))
    assert methods == ["BCa", "percentile"]
    assert interval.low < interval.mean < interval.high


def test_bootstrap_refuses_no_values():
    with pytest.raises(ValueError, match=r"values are \[\]"):
        bootstrap_interval([])


# --- tests ------------------------------------------------------------------------------------------------------------


def test_paired_p_against_the_t_table():
    # mean 3, s = √2.5, n = 5: t = 3 / (√2.5 / √5) = 3√2, and t(4) gives p = 1 − I(t² / (4 + t²)) in closed form
    t = 3 * math.sqrt(2)
    x = t / math.sqrt(4 + t * t)
    closed_form = 1 - (1.5 * x - 0.5 * x**3)  # of Student's t with four degrees of freedom
    assert paired_p([1, 2, 3, 4, 5]) == pytest.approx(closed_form, rel=1e-9)


def test_paired_p_of_what_does_not_vary():
    assert paired_p([0.0, 0.0, 0.0]) == 1
    assert paired_p([0.1, 0.1, 0.1]) == 0.25  # as of the sign test
    assert math.isnan(paired_p([0.1]))


@pytest.mark.parametrize(
    ("p", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the textbook's: ×4, ×3, ×2, ×1, never falling
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([], []),
        ([0.02, math.nan, 0.03], [0.04, math.nan, 0.04]),
    ],
    ids=["four", "no more than 1", "one alone", "none", "NaN is no test"],
)
def test_holm(p, adjusted):
    assert holm(p) == pytest.approx(adjusted, nan_ok=True)


def test_holm_keeps_the_chance_of_any_false_one(rng):
    false = [min(holm(rng.uniform(size=6))) < 0.05 for _ in range(4000)]
    assert np.mean(false) == pytest.approx(0.05, abs=0.015)  # four standard errors


@pytest.mark.parametrize(("n", "effect"), [(199, 0.2), (34, 0.5), (15, 0.8)])
def test_smallest_detectable_against_published_sample_sizes(n, effect):
    """The pairs that every handbook asks for, for small, medium and large effects (power 0.8 at 0.05, two-sided)."""
    assert smallest_detectable(n, 1.0) <= effect < smallest_detectable(n - 1, 1.0)
    assert smallest_detectable(n, 0.02) == pytest.approx(0.02 * smallest_detectable(n, 1.0))


def test_smallest_detectable_is_found_as_often_as_promised(rng):
    shift = smallest_detectable(6, 1.0)
    found = [paired_p(rng.normal(loc=shift, size=6)) < 0.05 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)  # four standard errors


def test_smallest_detectable_at_its_limits():
    assert math.isnan(smallest_detectable(1, 1.0))
    assert smallest_detectable(2, 1.0) > smallest_detectable(3, 1.0) > 3
    assert smallest_detectable(5, 0.0) == 0
    with pytest.raises(ValueError, match="deviation is -1"):
        smallest_detectable(5, -1)
    with pytest.raises(ValueError, match=r"power 0\.01"):
        smallest_detectable(5, 1, power=0.01)


def test_divergence_counts_discordant_pairs():
    never, always = [False] * 6, [True] * 6
    assert divergence_p(never, always) == pytest.approx(2 / 2**6)
    assert divergence_p(always, never) == pytest.approx(2 / 2**6)
    assert divergence_p(always, always) == 1
    assert divergence_p([False, True], [True, False]) == 1


def test_effects_are_paired_by_seed():
    base = {0: 0.90, 1: 0.92, 2: 0.95}
    arms = {"better": {2: 0.97, 1: 0.94, 0: 0.921}, "elsewhere": {7: 0.5}, "once": {1: 0.93, 9: 0.1}}
    found = paired_effects(base, arms)
    assert set(found) == {"better", "once"}
    better, once = found["better"], found["once"]
    assert (better.pairs, once.pairs) == (3, 1)
    assert better.difference == pytest.approx(mean_interval([0.021, 0.02, 0.02]))
    assert better.p == better.p_holm == pytest.approx(paired_p([0.021, 0.02, 0.02]))  # "once" can test nothing
    assert better.detectable == pytest.approx(smallest_detectable(3, np.std([0.021, 0.02, 0.02], ddof=1)))
    assert once.difference.mean == pytest.approx(0.01)
    assert math.isnan(once.p)


def test_pairing_removes_what_seeds_share(rng):
    """Seeds of very different difficulty, one small improvement: unpaired it would drown."""
    base = dict(enumerate(rng.normal(scale=10, size=8)))
    arm = {seed: value + 1 + 0.1 * rng.normal() for seed, value in base.items()}
    assert paired_effects(base, {"arm": arm})["arm"].p < 1e-5
