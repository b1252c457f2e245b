"""Real functions of mpmath numbers beside NumPy's and SciPy's of floats."""

import math

import numpy as np
import pytest
import scipy.special
from mpmath import mp, mpf

from convnet.board import real

NUMBERS = (-300.5, -2.5, -1.0, -0.25, 0.0, 0.5, 1.0, 3.75, 40.0)
ONE = {
    "cbrt": np.cbrt,
    "logistic": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "truncate": np.trunc,
}
TWO = {"fmod": np.fmod, "remainder": np.remainder, "logaddexp": np.logaddexp, "power": np.float_power}


def same(found: mpf, expected: float) -> bool:
    return np.isclose(float(found), expected, rtol=1e-14, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("name", ONE)
def test_of_one_number(name):
    assert all(same(getattr(real, name)(mpf(x)), ONE[name](x)) for x in NUMBERS)


@pytest.mark.parametrize("name", TWO)
def test_of_two_numbers(name):
    pairs = [(x, y) for x in NUMBERS for y in (-2.0, -0.75, 0.5, 3.0) if x or y > 0]
    with np.errstate(invalid="ignore"):
        wrong = [pair for pair in pairs if not same(getattr(real, name)(*map(mpf, pair)), TWO[name](*pair))]
    assert not wrong


def test_the_ends_of_their_domains():
    assert real.log(mpf(0)) == real.erfinv(mpf(-1)) == -mp.inf
    assert real.power(mpf(0), mpf(0)) == 1
    assert real.erfinv(mpf("0.5")) == pytest.approx(scipy.special.erfinv(0.5), rel=1e-14)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("log", (-1,)),
        ("power", (0, -1)),
        ("power", (-1, 0.5)),
        ("erfinv", (2,)),
        ("fmod", (1, 0)),
        ("remainder", (1, 0)),
    ],
)
def test_outside_their_domains(name, args):
    assert math.isnan(getattr(real, name)(*map(mpf, args)))


def test_what_rounds_to_a_constant_is_none():
    """1 − logistic(300) and softplus(−300) are 1e-130."""
    with mp.workdps(200):
        assert 0 < 1 - real.logistic(mpf(300)) == pytest.approx(math.exp(-300), rel=1e-12)
        assert real.softplus(mpf(-300)) == pytest.approx(math.exp(-300), rel=1e-12)


@pytest.mark.parametrize("bounds", [(-1, 1), (1, -1)])
def test_clip_is_numpys(bounds):
    assert all(float(real.clip(mpf(x), *bounds)) == np.clip(x, *bounds) for x in NUMBERS)


def test_sums_of_exponentials():
    values = [300.0, 299.0, -5.0]
    assert same(real.logsumexp(map(mpf, values)), scipy.special.logsumexp(values))
    assert real.logsumexp([]) == real.logsumexp([-mp.inf]) == -mp.inf


def test_what_is_remembered_has_the_digits_that_are_asked_for():
    root = real.remembered(mp.sqrt)
    with mp.workdps(15):
        root(mpf(2))
    with mp.workdps(60):
        assert abs(root(mpf(2)) ** 2 - 2) < mpf(10) ** -58


def test_nothing_is_computed_twice():
    asked = []
    double = real.remembered(lambda x: asked.append(x) or 2 * x)
    assert [double(mpf(3)), double(mpf(3)), double(mpf(4))] == [6, 6, 8]
    assert asked == [3, 4]


def test_an_error_is_raised_each_time():
    def refuse(x):
        raise ValueError("no")

    f = real.remembered(refuse)
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            f(mpf(1))
