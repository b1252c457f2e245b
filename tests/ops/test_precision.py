"""Narrow dtypes are computed in float32 and rounded once, and so are their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.ops.precision import in_float32


@pytest.mark.parametrize(
    ("dtype", "inside"),
    [("bfloat16", "float32"), ("float16", "float32"), ("float32", "float32"), ("float64", "float64")],
)
def test_the_dtype_inside_and_outside(dtype, inside, x64):
    seen = []

    def f(x, y):
        seen.extend([x.dtype, y.dtype])
        return x * y, jnp.sum(x)

    x = jnp.ones(3, dtype)
    with jax.numpy_dtype_promotion("strict"):
        results, pullback = jax.vjp(lambda *args: in_float32(f, *args), x, x)
    assert {v.dtype.name for v in jax.tree.leaves((results, pullback(results)))} == {dtype}
    assert {v.name for v in seen} == {inside}


def test_one_rounding_at_the_end():
    x = jnp.full(1000, 1 + 2.0**-7, jnp.bfloat16)
    f = lambda x: in_float32(lambda x: jnp.sum(x * x) / 1000, x)  # noqa: E731
    y, dx = jax.jit(lambda x: (f(x), jax.grad(f)(x)))(x)
    assert y == jnp.asarray((1 + 2.0**-7) ** 2, jnp.bfloat16)
    np.testing.assert_array_equal(dx, jnp.asarray(2 * (1 + 2.0**-7) / 1000, jnp.bfloat16))


def test_float64_arrays_where_float64_is_off():
    assert in_float32(lambda x: x + 1, np.ones(2)).dtype == np.float32
