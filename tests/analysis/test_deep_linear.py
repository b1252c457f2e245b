"""Linear networks learn as the formula says."""

from functools import reduce

import numpy as np
import pytest

from convnet import HAND
from convnet.analysis import deep_linear
from convnet.claims import descend

MODES, SMALL = (3.0, 1.0), 1e-2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_every_mode_of_the_first_start_begins_at_small(depth):
    starts = deep_linear.linear_starts(len(MODES), depth, SMALL, range(2))
    assert [start.shape[0] for start in starts] == [3] * depth
    np.testing.assert_allclose(reduce(HAND.dense, [start[0] for start in starts]), SMALL * np.eye(2), atol=1e-8)
    np.testing.assert_allclose(deep_linear.mode_strengths([start[0] for start in starts]), [SMALL, SMALL], rtol=1e-5)


def test_the_error_is_half_the_squared_distance():
    loss = deep_linear.mode_error(MODES)
    assert float(loss([np.eye(2, dtype=np.float32)])) == pytest.approx((2**2 + 0) / 2)


def test_descent_follows_the_formula():
    stack = [start[0] for start in deep_linear.linear_starts(len(MODES), 2, SMALL, ())]
    rate, steps = 1e-3, 4000
    _, paths = descend(deep_linear.mode_error(MODES), stack, rate=rate, steps=steps, note=deep_linear.mode_strengths)
    formula = deep_linear.mode_formula(MODES, SMALL, rate * np.arange(steps))
    np.testing.assert_allclose(formula[0], [SMALL, SMALL])
    np.testing.assert_allclose(paths, formula, atol=0.01 * max(MODES))


def test_when_a_level_is_reached_first():
    paths = np.array([[0.0, 0.0], [2.0, 0.1], [1.0, 0.2]])
    np.testing.assert_array_equal(deep_linear.first_reached(paths, (1.0, 0.5)), [1, np.inf])
    np.testing.assert_array_equal(deep_linear.first_reached(paths[None], (0.5, 0.2)), [[1, 2]])
