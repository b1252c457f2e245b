"""The interval of a mean: against tables, and against its own promise."""

import math

import numpy as np
import pytest

from convnet.ablation import mean_interval


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
