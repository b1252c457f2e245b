"""A measured number with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from convnet.ablation.stats import mean_interval


class Estimate(NamedTuple):
    """A number, the ends of its 95 % interval, and how many of what it rests on.

    Both ends are NaN where what was measured gives no interval.
    """

    value: float
    low: float
    high: float
    n: int = 0
    of: str = ""
    """What there are `n` of; empty of a number that was computed, not sampled."""

    def __str__(self) -> str:
        value = _short(self.value)
        if not self.of:
            return value
        ends = "no interval" if math.isnan(self.low) else f"{_short(self.low)} … {_short(self.high)}"
        return f"{value} ({ends}; {self.n} {self.of})"


def exact(value: Real) -> Estimate:
    """A number that another run finds again: a count of parameters, the largest difference between two formulas."""
    return Estimate(float(value), float(value), float(value))


def mean_of(values: Sequence[Real], of: str = "seeds") -> Estimate:
    """Mean of independent `values` with Student's interval (`convnet.ablation.stats.mean_interval`).

    Values that are all equal give no interval. Raises ValueError for no values.
    """
    numbers = np.asarray(values, float)
    return Estimate(*mean_interval(numbers), len(numbers), of)


def counted(hits: int, n: int, of: str) -> Estimate:
    """The share hits / n with the interval of Clopper & Pearson (Biometrika 1934), which holds the true share in at
    least 95 % of cases, whatever it is.

    Raises ValueError unless both are whole, 0 ≤ hits ≤ n and n ≥ 1.
    """
    from scipy import stats  # slow to import

    if not 0 <= hits <= n or n < 1 or hits != int(hits) or n != int(n):
        raise ValueError(f"hits are {hits!r}, n {n!r}: expected whole numbers, 0 ≤ hits ≤ n and n ≥ 1")
    low, high = stats.binomtest(int(hits), int(n)).proportion_ci(method="exact")
    return Estimate(hits / n, float(low), float(high), int(n), of)


def apart(found: Any, expected: Any) -> float:
    """The largest difference of two arrays over the largest magnitude expected; infinite where shapes differ."""
    if np.shape(found) != np.shape(expected):
        return math.inf
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _short(value: float) -> str:
    """Three digits; whole numbers below a million in full."""
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value):,}"
    return f"{value:.3g}"
