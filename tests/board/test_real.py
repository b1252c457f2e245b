"""Functions that oracles share."""

import mpmath
import pytest
from mpmath import mp, mpf

from convnet.board.real import remembered


def test_what_is_remembered_has_the_digits_that_are_asked_for():
    root = remembered(mp.sqrt)
    with mp.workdps(15):
        root(mpf(2))
    with mp.workdps(60):
        assert abs(root(mpf(2)) ** 2 - 2) < mpf(10) ** -58


def test_nothing_is_computed_twice():
    asked = []
    double = remembered(lambda x: asked.append(x) or 2 * x)
    assert [double(mpf(3)), double(mpf(3)), double(mpf(4))] == [6, 6, 8]
    assert asked == [3, 4]


def test_an_error_is_raised_each_time():
    def refuse(x):
        raise ValueError("no")

    f = remembered(refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            f(mpmath.mpf(1))
