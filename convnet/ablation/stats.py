"""What a handful of seeds says, and how surely: Student's t everywhere, so an interval and its p never disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Real
from typing import NamedTuple

import numpy as np

ROUNDING = 2.0**-23
"""Of float32, in which networks compute: scores closer than this share of them are not told apart."""


COVERAGE = (
    "Student's 95 % interval holds the true mean in 95 % of cases where values are normally distributed, and in 94 % "
    "or more where they are counts of hits. It does so less often where they are strongly skewed (exponential: 88 to "
    "92 %), where less than one image is missed on average (88 % with 7 seeds), and far less often where one seed in "
    "ten fails altogether (37 % with 4 seeds)."
)
"""Beside every 95 % interval that is printed. `scripts/coverage.py` measured it, for 2 to 20 seeds."""


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval; both ends are NaN where the values do not give one."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[Real], *, confidence: float = 0.95) -> Interval:
    """Mean of `values` with its t interval (Student, Biometrika 1908): mean ± t · s / √n, n − 1 degrees of freedom.

    No interval (NaN) of one value, nor of values that are all equal. A few accuracies, which come in steps of one
    image, may be equal by chance; s = 0 then would claim that the next seed could not differ.

    Coverage of the 95 % interval of 2 to 20 values, by `scripts/coverage.py` (docs/ablations.md has the table): 95 % of
    normal values, 94 % or more of counts of hits. Below 92 %: 88 to 92 % of strongly skewed (exponential) values; 88 %
    of the hits of 7 runs that miss half an image on average; and 37 to 88 % where one seed in ten fails altogether.

    Raises ValueError for no values and for a confidence outside (0, 1).
    """
    if len(values) == 0 or not 0 < confidence < 1:
        raise ValueError(f"values are {values!r}, confidence {confidence!r}: expected one value or more and (0, 1)")
    numbers = np.asarray(values, float)
    mean = float(np.mean(numbers))
    if not varies(numbers):
        return Interval(mean, math.nan, math.nan)
    half = _quantile(len(numbers), confidence) * float(np.std(numbers, ddof=1)) / math.sqrt(len(numbers))
    return Interval(mean, mean - half, mean + half)


def varies(values: Sequence[Real]) -> bool:
    """Whether `values` differ by more than the rounding of float32: what does not vary gives t nothing to judge by."""
    numbers = np.asarray(values, float)
    return len(numbers) > 1 and bool(np.ptp(numbers) > ROUNDING * np.abs(numbers).max())


@cache
def _quantile(n: int, confidence: float) -> float:
    """Of Student's t with n − 1 degrees of freedom."""
    from scipy import stats  # slow to import, and needed at the end of a run only

    return float(stats.t.ppf((1 + confidence) / 2, n - 1))


def paired_p(differences: Sequence[Real]) -> float:
    """Two-sided p-value of "the mean difference is 0" by the paired t test: below 0.05 where the 95 % interval of
    `mean_interval` leaves out 0, and NaN where there is no interval.

    The differences have to be exact. Of accuracies that were rounded before they were subtracted, equal ones differ in
    the last bit, and get a p next to 0; `paired_effects` sees to that.
    """
    from scipy import stats

    return float(stats.ttest_1samp(np.asarray(differences, float), 0).pvalue) if varies(differences) else math.nan


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that the chance of any false one among them stays at the level (Holm, 1979).

    The i-th smallest of m is multiplied by m − i + 1, and none may be below a smaller one. NaN stays NaN and counts for
    no test.
    """
    p = np.asarray(p_values, float)
    order = [i for i in np.argsort(p, kind="stable") if not np.isnan(p[i])]
    adjusted, largest = np.full(len(p), np.nan), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = largest
    return [float(value) for value in adjusted]


def smallest_detectable(n: int, deviation: float, *, power: float = 0.8, level: float = 0.05) -> float:
    """The true mean difference that a paired t test with n pairs finds with probability `power`.

    deviation: standard deviation of the differences, estimated like any other. At a difference δ the statistic is
    noncentral t with n − 1 degrees of freedom and noncentrality δ √n / deviation. NaN for fewer than two pairs.

    Raises ValueError for a negative deviation, and a power or level outside (0, 1) or not above the level.
    """
    from scipy import optimize, stats

    if not (deviation >= 0 and 0 < level < power < 1):
        raise ValueError(
            f"deviation is {deviation!r}, level {level!r}, power {power!r}: expected ≥ 0, 0 < level < power < 1"
        )
    if n < 2:
        return math.nan
    critical = stats.t.ppf(1 - level / 2, n - 1)

    def missing(shift: float) -> float:
        # The other tail holds nothing where this one holds `power`, and SciPy has no value for it far out.
        return stats.nct.sf(critical, n - 1, shift) - power

    # The noncentrality grows like critical + z(power); twice that, and some, is on the other side.
    shift = optimize.brentq(missing, 0.0, 2 * (critical + 5))
    return float(shift * deviation / math.sqrt(n))


def divergence_p(base: Sequence[bool], arm: Sequence[bool]) -> float:
    """Two-sided p-value of "both diverge equally often", of paired seeds: McNemar's test, exact.

    Only pairs in which one diverged and the other did not can tell; none gives 1.

    Raises ValueError for another number of runs in `arm` than in `base`.
    """
    from scipy import stats

    if len(base) != len(arm):
        raise ValueError(f"base has {len(base)} runs and arm {len(arm)}: expected the same seeds of both")
    only_base = sum(b and not a for b, a in zip(base, arm, strict=True))
    only_arm = sum(a and not b for b, a in zip(base, arm, strict=True))
    discordant = only_base + only_arm
    return float(stats.binomtest(only_arm, discordant, 0.5).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Effect:
    """An arm against the base, over the seeds that both have. difference: arm − base, mean and t interval; p: the
    paired t test's; p_holm: that among all arms; detectable: the smallest difference that so many pairs would find in
    four of five ablations. All but the mean are NaN where there is one pair, or all differences are equal."""

    pairs: int
    difference: Interval
    p: float
    p_holm: float
    detectable: float


def paired_effects(base: Mapping[int, Real], arms: Mapping[str, Mapping[int, Real]]) -> dict[str, Effect]:
    """Each arm's effect: seed -> score of the base, and of each arm. Arms without a seed of the base's are left out.

    Scores should be exact, such as Fraction(hits, images). Differences of such are exact, too, and equal ones are seen
    to be equal. Of floats, differences that are equal to the rounding of float32 are taken for equal.
    """
    differences = {}
    for name, scores in arms.items():
        if seeds := sorted(base.keys() & scores.keys()):
            differences[name] = _differences([base[seed] for seed in seeds], [scores[seed] for seed in seeds])
    p_values = [paired_p(d) for d in differences.values()]
    return {
        name: Effect(
            pairs=len(d),
            difference=mean_interval(d),
            p=p,
            p_holm=adjusted,
            detectable=smallest_detectable(len(d), float(np.std(d, ddof=1))) if varies(d) else math.nan,
        )
        for (name, d), p, adjusted in zip(differences.items(), p_values, holm(p_values), strict=True)
    }


def _differences(base: Sequence[Real], arm: Sequence[Real]) -> np.ndarray:
    """arm − base, [pairs], subtracted before anything is rounded."""
    found = np.array([float(a - b) for a, b in zip(arm, base, strict=True)])
    inexact = any(isinstance(score, float | np.floating) for score in (*base, *arm))
    largest = max(abs(float(score)) for score in (*base, *arm))
    if inexact and np.ptp(found) <= 2 * ROUNDING * largest:
        found[:] = found.mean()
    return found
