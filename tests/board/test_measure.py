"""What a library says of points: as many rows as there are points, however many the programs are filled up to."""

import numpy as np
import pytest
from mpmath import mp

from convnet.board.case import at, case
from convnet.board.measure import FIRST, SECOND, measure


@pytest.mark.parametrize("count", [1, 8, 9])
def test_every_point_has_its_own_derivatives(count):
    x = np.linspace(0.25, 2.0, count)
    one = case("jax.numpy.sin", mp.sin, at("generic", *x))
    found = measure(one, one.points, "float64")
    assert (set(found.first), set(found.second), found.missing) == (set(FIRST), set(SECOND), {})
    for rows in found.first.values():
        np.testing.assert_allclose(rows, np.cos(x)[:, None], rtol=1e-14)
    for rows in found.second.values():
        np.testing.assert_allclose(rows, -np.sin(x)[:, None, None], rtol=1e-14)


def test_without_jit_only_where_it_is_asked_for():
    one = case("jax.numpy.sin", mp.sin, at("generic", 0.5))
    assert "eager" in measure(one, one.points, "float64").first
    assert "eager" not in measure(one, one.points, "float64", eager=False).first


def test_without_jit_the_gradient_is_that_of_the_contraction():
    """Of complex numbers, of integers, which have none, and of floats."""
    call = "(jnp.exp((1 + 2j) * x), jnp.argsort(x), x[:2] * x[1:])"
    one = case("jax.numpy.exp", mp.exp, at("generic", np.array([0.3, -1.2, 0.7])), call=call, elementwise=False)
    found = measure(one, one.points, "float64").first
    np.testing.assert_allclose(found["eager"][0], found["reverse"][0], rtol=1e-12)
