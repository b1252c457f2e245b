"""Intervals and tests: against tables and closed forms, and against their own promises."""

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from convnet.ablation import (
    COVERAGE,
    divergence_p,
    holm,
    mean_interval,
    paired_effects,
    paired_p,
    smallest_detectable,
)

ROOT = Path(__file__).resolve().parents[2]


def test_against_the_t_table():
    # t(0.975, 4) = 2.776 in every table; s = √2.5 for 1 … 5
    interval = mean_interval([1, 2, 3, 4, 5])
    assert interval.mean == 3
    assert interval.half_width == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5), rel=2e-4)
    assert (interval.low + interval.high) / 2 == pytest.approx(3)


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


# --- what does not vary ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.0, 0.0], [-0.1] * 20, [Fraction(350, 359)] * 4], ids=str)
def test_equal_values_have_no_interval_and_no_p(values):
    """A width of 0 would say that the next seed cannot differ."""
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(float(values[0]))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert math.isnan(paired_p(values))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_what_differs_in_the_rounding_of_float32_does_not_vary(scale):
    close = scale * np.array([1.0, 1 + 1e-8, 1 - 1e-8])
    assert math.isnan(mean_interval(close).low)
    assert math.isnan(paired_p(close))
    apart = scale * np.array([1.0, 1 + 1e-5, 1 - 1e-5])
    assert mean_interval(apart).half_width > 0
    assert paired_p(apart) < 1e-8


IMAGE_HITS = range(0, 329, 7), range(329, 0, -7), range(200, 247)
IMAGE_PAIRS = [[(a, a + 1), (b, b + 1), (c, c + 1)] for a, b, c in zip(*IMAGE_HITS, strict=True)]


@pytest.mark.parametrize("exact", [True, False], ids=["hits", "means in float32"])
def test_equal_differences_of_one_image_are_no_discovery(exact):
    """As means in float32 they differ in the last bit, and the t test gave p = 5e-11."""
    made = (lambda hits: Fraction(hits, 359)) if exact else (lambda hits: float(np.float32(hits) / np.float32(359)))
    for pairs in IMAGE_PAIRS:
        base, arm = ({seed: made(pair[i]) for seed, pair in enumerate(pairs)} for i in (0, 1))
        effect = paired_effects(base, {"arm": arm})["arm"]
        assert effect.difference.mean == pytest.approx(1 / 359, rel=1e-4)
        assert all(math.isnan(x) for x in (*effect.difference[1:], effect.p, effect.p_holm, effect.detectable))


@pytest.mark.parametrize(("roundings", "told_apart"), [(0, False), (1.5, False), (2, False), (2.5, True)])
def test_differences_of_floats_are_equal_within_the_rounding_of_both_scores(roundings, told_apart):
    """Each score is off by up to one rounding of float32, so two differences part by two."""
    base, arm = {0: 0.5, 1: 0.5}, {0: 1.0, 1: 1.0 - roundings * 2.0**-23}
    assert math.isnan(paired_effects(base, {"arm": arm})["arm"].p) != told_apart


def test_exact_differences_are_rounded_once():
    base, arm = {0: Fraction(1, 359), 1: Fraction(340, 359)}, {0: Fraction(3, 359), 1: Fraction(343, 359)}
    found = paired_effects(base, {"arm": arm})["arm"]
    assert found.difference == mean_interval([2 / 359, 3 / 359])
    assert found.p == paired_p([2 / 359, 3 / 359])


def test_equal_differences_count_for_no_test():
    """Holm's correction is that of the arms that were tested."""
    base = {seed: Fraction(300 + seed, 359) for seed in range(4)}
    arms = {name: {seed: base[seed] + Fraction(n + seed * n, 359) for seed in base} for name, n in (("a", 1), ("b", 2))}
    alone = paired_effects(base, arms)
    found = paired_effects(base, arms | {"same": dict(base), "up": {s: x + Fraction(1, 359) for s, x in base.items()}})
    for name in arms:
        assert found[name] == alone[name]
    assert math.isnan(found["same"].p_holm)
    assert math.isnan(found["up"].p_holm)


# --- coverage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20])
def test_intervals_cover_as_often_as_promised(seeds, rng):
    """Of an arm and of a difference alike; 4000 of each, so ± 1 % is three standard errors."""
    base, arm = rng.normal(loc=5, scale=2, size=(2, 4000, seeds))
    for values, mean in ((base, 5.0), (arm - base, 0.0)):
        held = [low <= mean <= high for _, low, high in map(mean_interval, values)]
        assert np.mean(held) == pytest.approx(0.95, abs=0.0105)


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_the_interval_leaves_out_zero_where_p_is_below_its_level(seeds, rng):
    for values in rng.normal(loc=1, size=(100, seeds)):
        _, low, high = mean_interval(values)
        assert (paired_p(values) < 0.05) == (low > 0 or high < 0)


def test_what_is_said_beside_an_interval_is_what_was_measured():
    """docs/results/coverage.json, which scripts/coverage.py wrote: whatever covers less than 92 % is named."""
    stored = json.loads((ROOT / "docs" / "results" / "coverage.json").read_text())["results"]
    shares = {}
    for result in stored:
        shares.setdefault(result["case"], {})[result["seeds"]] = result["held"] / result["intervals"]
    assert {n for found in shares.values() for n in found} >= {2, 3, 5, 10, 20}
    assert all(0.94 <= share <= 0.96 for share in shares["normal"].values())
    assert min(min(shares[name].values()) for name in ("hits", "few hits")) >= 0.94
    below = {name for name, found in shares.items() if min(found.values()) < 0.92}
    assert below == {"skewed", "near 100 %", "failures"}
    skewed = [in_percent(pick(shares["skewed"].values())) for pick in (min, max)]
    lowest = {name: min(shares[name], key=shares[name].get) for name in ("near 100 %", "failures")}
    near, fails = (f"{in_percent(shares[name][n])} % with {n} seeds" for name, n in lowest.items())
    for text in (COVERAGE, (ROOT / "README.md").read_text(), " ".join(mean_interval.__doc__.split())):
        assert f"{skewed[0]} to {skewed[1]} %" in text
        assert "one seed in ten fails" in text
        assert f"{in_percent(min(shares['failures'].values()))} " in text
        assert "image is missed on average" in text or "miss half an image on average" in text
    assert f"({near})" in COVERAGE
    assert f"({fails})" in COVERAGE


def in_percent(share):
    return round(100 * share)


# --- tests ------------------------------------------------------------------------------------------------------------


def test_paired_p_against_the_t_table():
    # mean 3, s = √2.5, n = 5: t = 3 / (√2.5 / √5) = 3√2, and t(4) gives p = 1 − I(t² / (4 + t²)) in closed form
    t = 3 * math.sqrt(2)
    x = t / math.sqrt(4 + t * t)
    closed_form = 1 - (1.5 * x - 0.5 * x**3)  # of Student's t with four degrees of freedom
    assert paired_p([1, 2, 3, 4, 5]) == pytest.approx(closed_form, rel=1e-9)


def test_one_difference_has_no_p():
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
    base, arm = [False, False, False, True, True], [True, True, True, False, True]
    assert divergence_p(base, arm) == pytest.approx(2 * (4 + 1) / 2**4)  # 3 or 4 of 4, or 0 or 1


def test_divergence_of_unequal_seeds_is_refused():
    with pytest.raises(ValueError, match=r"^base has 3 runs and arm 2: expected the same seeds of both$"):
        divergence_p([False] * 3, [False] * 2)


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
