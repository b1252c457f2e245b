"""Judging results against `convnet.gradcheck.oracles`, the ops once more in float64 NumPy.

Run on absolute values a walk gives the scale of its rounding error, run on ones the number of terms it adds up;
`assert_sums` judges with both.
"""

import numpy as np

from convnet.gradcheck.oracles import ORACLES


def of_example(op):
    """(z, label, **settings) -> L, dL/dz of one example of a loss, by its oracle."""

    def loss(z, label, **settings):
        args = np.array([z], np.float64), np.array([label])
        value = ORACLES[op].value(*args, **settings)[0]
        return value, ORACLES[op].gradient(np.ones(1), *args, **settings)[0][0].tolist()

    return loss


UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8}
"""Unit round-off of each dtype."""


def assert_sums(actual, expected, scale, terms):
    """|actual − expected| ≤ (terms + 2)·u·scale elementwise: at most one rounding per term; exact where scale is 0.

    scale: the same sum over absolute values; terms: how many products were added (an array or a number).
    """
    unit = UNIT[str(actual.dtype)]
    actual = np.asarray(actual, np.float64)
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    error, bound = np.abs(actual - expected), (terms + 2) * unit * scale
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    assert (error <= bound).all(), f"worst at {worst}: {actual[worst]!r}, not {expected[worst]!r}"


def assert_conv(actual, reference, args):
    """Judge (y, dx, dw) against `reference(*args)`, with the scale and the number of terms from the same loops."""
    sums = (
        reference(*args),
        reference(*(np.abs(a) for a in args)),
        reference(*(np.ones_like(a, np.float64) for a in args)),
    )
    for one, expected, scale, terms in zip(actual, *sums, strict=True):
        assert_sums(one, expected, scale, terms)


def one_hots(shape):
    """Cotangents that look at one output each: first, last, and last row with first column."""
    for index in ((0, 0, 0, 0), (-1, -1, -1, -1), (0, -1, 0, -1)):
        g = np.zeros(shape)
        g[index] = 1.0
        yield g


STEPS = 1e-3 * np.array([-2, -1, 1, 2])
WEIGHTS = np.array([1, -8, 8, -1]) / 12e-3
"""f′(0) ≈ Σ WEIGHTS · f(STEPS), with an error of the fourth order in the step."""


def five_point(f, x, direction):
    """Derivative of f at x along `direction`."""
    return sum(weight * np.asarray(f(x + step * direction)) for step, weight in zip(STEPS, WEIGHTS, strict=True))
