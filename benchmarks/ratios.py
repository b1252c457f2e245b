"""From samples to a median, and from two lists of samples to a ratio with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sample:
    """Seconds per step (or op), and whether somebody else was busy meanwhile."""

    seconds: float
    disturbed: bool = False


@dataclass(frozen=True)
class Ratio:
    """Ratio of medians; `low` and `high` are quartiles of the ratios within each round."""

    value: float
    low: float
    high: float


def kept(samples: Sequence[Sample]) -> dict[int, float]:
    """Round -> seconds, of the undisturbed samples; of all of them where every one was disturbed."""
    calm = {i: sample.seconds for i, sample in enumerate(samples) if not sample.disturbed}
    return calm or {i: sample.seconds for i, sample in enumerate(samples)}


def median(samples: Sequence[Sample]) -> float:
    """Seconds."""
    return float(np.median(list(kept(samples).values())))


def ratio(samples: Sequence[Sample], reference: Sequence[Sample]) -> Ratio:
    """How many times longer than `reference`; both were taken in the same rounds."""
    above, below = kept(samples), kept(reference)
    value = median(samples) / median(reference)
    paired = [above[i] / below[i] for i in above.keys() & below.keys()] or [value]
    low, high = np.quantile(paired, [0.25, 0.75])
    return Ratio(value, float(low), float(high))


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Exponent p of seconds ∝ size^p, by least squares in the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
