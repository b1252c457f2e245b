"""What a case should be, as a function of JAX: value, gradient and Hessian by closed forms, and what does not exist."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mpmath import mp

from convnet.board.case import at, case
from convnet.board.contraction import weights
from convnet.board.mathematics import mathematics
from convnet.gradcheck import Auditor

WAVE = case("jax.numpy.sin", lambda x, n, y: mp.sin(x) * mp.exp(n * y), at("generic", (0.75, np.int32(2), -0.5)),
            args="x, n, y", wrt=(0, 2))  # fmt: skip
X, Y = 0.75, -0.5


def test_value_gradient_and_hessian_in_float64(x64):
    f, args = partial(mathematics, WAVE), (np.float64(X), np.int32(2), np.float64(Y))
    sin, cos, exp = np.sin(X), np.cos(X), np.exp(2 * Y)
    np.testing.assert_allclose(f(*args), sin * exp, rtol=1e-15)
    np.testing.assert_allclose(jax.grad(f, (0, 2))(*args), [cos * exp, 2 * sin * exp], rtol=1e-15)
    np.testing.assert_allclose(
        jax.hessian(f, (0, 2))(*args), [[-sin * exp, 2 * cos * exp], [2 * cos * exp, 4 * sin * exp]], rtol=1e-15
    )


@pytest.mark.parametrize("transform", [jax.jit, jax.checkpoint], ids=["jit", "checkpoint"])
def test_under_transforms(x64, transform):
    f = transform(jax.grad(lambda x: mathematics(WAVE, x, np.int32(2), np.float64(Y))))
    np.testing.assert_allclose(jax.vmap(f)(np.array([X, 0.0])), np.cos([X, 0.0]) * np.exp(2 * Y), rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_narrow_dtype_is_rounded_once(dtype):
    x, y = jnp.asarray(X, dtype), jnp.asarray(Y, dtype)
    value, slope = jax.value_and_grad(partial(mathematics, WAVE))(x, np.int32(2), y)
    assert value == jnp.asarray(np.sin(X) * np.exp(2 * Y), dtype)
    assert slope == jnp.asarray(np.cos(X) * np.exp(2 * Y), dtype)


def test_arrays_are_contracted(x64):
    squares = case("jax.numpy.square", lambda x: x * x, at("generic", np.array([1.0, 2.0, 3.0])), elementwise=False)
    f, x = partial(mathematics, squares), np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(f(x), weights(0, 3) @ x**2)
    np.testing.assert_allclose(jax.grad(f)(x), 2 * weights(0, 3) * x)
    np.testing.assert_allclose(jax.hessian(f)(x), np.diag(2 * weights(0, 3)), atol=1e-15)


def test_what_does_not_exist_is_no_number(x64):
    root = case("jax.numpy.sqrt", mp.sqrt, at("end", 0.0))
    value, slope = jax.value_and_grad(partial(mathematics, root))(np.float64(0.0))
    assert (value, np.isnan(slope)) == (0.0, True)
    assert np.isnan(mathematics(root, np.float64(-1.0)))


def test_a_third_derivative_is_refused(x64):
    f = partial(mathematics, case("jax.numpy.sin", mp.sin, at("generic", 0.75)))
    with pytest.raises(ValueError, match=r"[Pp]ure callbacks do not support JVP"):
        jax.grad(jax.grad(jax.grad(f)))(0.75)


def test_our_audit_finds_nothing():
    args = (np.float64(X), np.int32(2), np.float64(Y))
    assert Auditor(partial(mathematics, WAVE), argnums=(0, 2)).audit(args, level="quick").passed
