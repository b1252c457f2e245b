"""Differences of a gradient do not condemn what changes over less than their steps, and still see what is wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck import Auditor

STAGES = ("second order", "higher orders")
ARGS = (np.array([1.5e5, 9e-5, 0.56]),)
"""Of mixed units: steps are parts of their common size."""


@jax.custom_jvp
def product(x, factor):
    return x[0] * x[1] * x[2]


@jax.custom_jvp
def slope(x, factor):
    return jnp.array([x[1] * x[2], x[0] * x[2], x[0] * x[1]])


@product.defjvp
def _(primals, tangents):
    return product(*primals), slope(*primals) @ tangents[0]


@slope.defjvp
def _(primals, tangents):
    (x, factor), v = primals, tangents[0]
    return slope(x, factor), factor * (jnp.roll(x, 1) * jnp.roll(v, 2) + jnp.roll(x, 2) * jnp.roll(v, 1))


def energy(factor):
    """A factor of 1 is right."""
    return lambda x: jnp.sum(jnp.log1p(x**2)) + product(x, factor)


@pytest.mark.parametrize("seed", range(4))
def test_a_function_of_several_scales_in_one_array_is_right(seed):
    report = Auditor(energy(1.0)).audit(ARGS, level="standard", seed=seed, stages=STAGES)
    assert report.failures == []
    assert any(check.name == "differences" for check in report.checks)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_there_too_a_wrong_second_derivative_is_seen(factor):
    report = Auditor(energy(factor)).audit(ARGS, level="standard", stages=("second order",))
    assert "differences" in {check.name for check in report.failures}
