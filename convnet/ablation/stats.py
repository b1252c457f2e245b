"""What a handful of seeds says, and how surely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


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

    if len(values) == 0 or not 0 < confidence < 1:
        raise ValueError(f"values are {values!r}, confidence {confidence!r}: expected one value or more and (0, 1)")
    mean = float(np.mean(values))
    if len(values) == 1:
        return Interval(mean, math.nan, math.nan)
    half = float(stats.sem(values) * stats.t.ppf((1 + confidence) / 2, len(values) - 1))
    return Interval(mean, mean - half, mean + half)
