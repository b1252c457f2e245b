"""What a handful of seeds says, and how surely. The methods are SciPy's; what is ours is which, and the corners."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RESAMPLES = 9999


class Interval(NamedTuple):
    """A mean and the ends of its confidence interval (NaN where one value gives none)."""

    mean: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean of `values` with its t interval (Student, Biometrika 1908): mean ± t · s / √n, n − 1 degrees of freedom.

    Raises ValueError for no values and for a confidence outside (0, 1).
    """
    from scipy import stats  # slow to import, and needed at the end of a run only

    _check(values, confidence)
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.sem(values) * stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(values: Sequence[float], *, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean of `values` with its bootstrap interval, bias-corrected and accelerated (BCa; Efron, JASA 1987).

    It may lean to one side, as accuracies near 100 % do, where ± cannot. Equal values give an interval of width 0;
    where BCa is not defined, the percentiles of the resampled means are taken. Reproducible by `seed`.

    Raises ValueError for no values and for a confidence outside (0, 1).
    """
    from scipy import stats

    _check(values, confidence)
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, math.nan, math.nan)
    if np.ptp(values) == 0:
        return Interval(mean, mean, mean)
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a degenerate distribution: the next method is the answer to it
            found = stats.bootstrap(
                (np.asarray(values, float),),
                np.mean,
                confidence_level=confidence,
                n_resamples=RESAMPLES,
                method=method,
                rng=np.random.default_rng(seed),
            ).confidence_interval
        if np.isfinite(found).all():
            break
    return Interval(mean, float(found.low), float(found.high))


def paired_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of "the mean difference is 0" by the paired t test.

    Differences that are all 0 give 1. Equal ones other than 0, which a few accuracies in steps of one image may well
    be by chance, leave the t test no variation to judge by: theirs is the sign test's 2^(1 − n). One difference gives
    NaN.
    """
    from scipy import stats

    if len(differences) < 2:
        return math.nan
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 2.0 ** (1 - len(differences))
    return float(stats.ttest_1samp(differences, 0).pvalue)


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
    """
    from scipy import stats

    only_base = sum(b and not a for b, a in zip(base, arm, strict=True))
    only_arm = sum(a and not b for b, a in zip(base, arm, strict=True))
    discordant = only_base + only_arm
    return float(stats.binomtest(only_arm, discordant, 0.5).pvalue) if discordant else 1.0


@dataclass(frozen=True)
class Effect:
    """An arm against the base, over the seeds that both have. difference: arm − base, mean and t interval; p: the
    paired t test's; p_holm: that among all arms; detectable: the smallest difference that so many pairs would find in
    four of five ablations."""

    pairs: int
    difference: Interval
    p: float
    p_holm: float
    detectable: float


def paired_effects(base: Mapping[int, float], arms: Mapping[str, Mapping[int, float]]) -> dict[str, Effect]:
    """Each arm's effect: seed -> score of the base, and of each arm. Arms without a seed of the base's are left out."""
    differences = {}
    for name, scores in arms.items():
        if seeds := sorted(base.keys() & scores.keys()):
            differences[name] = [scores[seed] - base[seed] for seed in seeds]
    p_values = [paired_p(d) for d in differences.values()]
    return {
        name: Effect(
            pairs=len(d),
            difference=mean_interval(d),
            p=p,
            p_holm=adjusted,
            detectable=smallest_detectable(len(d), float(np.std(d, ddof=1))) if len(d) > 1 else math.nan,
        )
        for (name, d), p, adjusted in zip(differences.items(), p_values, holm(p_values), strict=True)
    }


def _check(values: Sequence[float], confidence: float) -> None:
    if len(values) == 0 or not 0 < confidence < 1:
        raise ValueError(f"values are {values!r}, confidence {confidence!r}: expected one value or more and (0, 1)")
