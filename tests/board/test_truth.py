"""Derivatives by their definition, beside those that calculus gives."""

import math

import mpmath
import numpy as np
import pytest
from mpmath import mp, mpf

from convnet.board.truth import Slope, Unknown, truth


def of(f, x, n=1):
    """The truth of a function of one number."""
    return truth(lambda values: f(values[0]), [x], np.eye(1))


@pytest.mark.parametrize(
    ("f", "x", "first", "second"),
    [
        (mp.sin, 0.7, mp.cos, lambda x: -mp.sin(x)),
        (mp.log, 1e-300, lambda x: 1 / x, lambda x: -1 / x**2),
        (mp.log1p, 1e-300, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
        (mp.tanh, 300.0, lambda x: mp.sech(x) ** 2, lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2),
        (mp.digamma, -30.7, lambda x: mp.polygamma(1, x), lambda x: mp.polygamma(2, x)),
        (mp.cos, 0.0, lambda x: mpf(0), lambda x: mpf(-1)),
        (lambda x: x**3, 0.0, lambda x: mpf(0), lambda x: mpf(0)),
        (lambda x: mp.sqrt(x) ** 2 if x >= 0 else x, 1e-310, lambda x: mpf(1), lambda x: mpf(0)),
    ],
)
def test_derivatives_are_those_of_calculus(f, x, first, second):
    found = of(f, x)
    with mp.workdps(400):
        for slope, expected in ((found.first[0], first(mpf(x))), (found.second[0][0], second(mpf(x)))):
            assert slope.exists
            assert abs(slope.value - expected) <= mpf(10) ** -15 * abs(expected) + mpf(10) ** -330


def test_a_kink_has_two_slopes_and_no_derivative():
    slope = of(abs, 0.0).first[0]
    assert (slope.left, slope.right) == (-1, 1)
    assert not slope.exists
    assert mpmath.isnan(slope.value)


def test_next_to_a_kink_there_is_a_derivative():
    assert of(lambda x: max(x, mpf(0)), 1e-30).first[0].value == pytest.approx(1)
    assert of(lambda x: max(x, mpf(1)), 1 - 2**-53).first[0].value == 0


def test_a_kink_of_the_gradient_is_one_of_second_order_only():
    found = of(lambda x: max(x, mpf(0)) ** 2, 0.0)
    assert found.first[0].exists
    assert (found.second[0][0].left, found.second[0][0].right) == (0, pytest.approx(2))


@pytest.mark.parametrize("f", [mp.sqrt, lambda x: -x * mp.log(x) if x > 0 else mpf(0) if x == 0 else mp.nan])
def test_at_the_end_of_a_domain_slopes_may_be_infinite(f):
    slope = of(f, 0.0).first[0]
    assert slope.infinite
    assert mpmath.isnan(slope.left)
    assert not slope.exists


def test_infinite_slopes_of_two_signs_are_none():
    assert not Slope(mpf("-inf"), mpf("inf")).infinite


def test_of_several_numbers_along_directions():
    x, y = 0.3, 1.7
    found = truth(lambda v: v[0] ** 2 * mp.exp(v[1]), [x, y], np.array([[1.0, 0.0], [1.0, -2.0]]))
    e = math.exp(y)
    assert [float(s.value) for s in found.first] == pytest.approx([2 * x * e, x**2 * e], rel=1e-14)
    expected = [[2 * e, 2 * x * e], [2 * e - 2 * 2 * x * e, 2 * x * e - 2 * x**2 * e]]
    assert [[float(s.value) for s in row] for row in found.second] == [
        pytest.approx(row, rel=1e-14) for row in expected
    ]


def test_what_more_digits_change_again_and_again_is_unknown():
    with pytest.raises(Unknown, match="not settled by"):
        of(lambda x: x * mp.dps, 0.5)


def test_slopes_of_all_entries_are_no_gradient_where_others_do_not_add_up():
    def median(v):
        return sorted(v)[1]

    equal = truth(median, [1.0, 1.0, 1.0], np.zeros((0, 3)))
    assert all(slope.exists for slope in equal.first)
    assert not equal.differentiable
    assert truth(median, [1.0, 2.0, 3.0], np.zeros((0, 3))).differentiable
    assert truth(sum, [1.0, 1.0, 1.0], np.zeros((0, 3))).differentiable
    assert truth(lambda v: v[0] * v[1], [0.0, 0.0], np.zeros((0, 2))).differentiable


def test_entries_that_have_no_slope_excuse_no_others():
    def medians(v):
        return sorted(v[:3])[1] + abs(v[3])

    assert not truth(medians, [1.0, 1.0, 1.0, 0.0], np.zeros((0, 4))).differentiable
    assert truth(medians, [1.0, 2.0, 3.0, 0.0], np.zeros((0, 4))).differentiable
