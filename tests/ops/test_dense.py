"""Dense layers and biases against loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence.dense import walk
from convnet.ops import dense
from convnet.ops.dense import add_bias
from tests.ops.references import assert_conv, assert_sums


@jax.jit
def value_and_gradients(x, w, g):
    y, pullback = jax.vjp(dense, x, w)
    return y, *pullback(g)


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 3), (1, 1, 1), (2, 7, 1)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_dense(shape, dtype, rng, x64):
    n, d, k = shape
    args = [jnp.asarray(rng.normal(size=size), dtype) for size in ((n, d), (d, k), (n, k))]
    actual = value_and_gradients(*args)
    assert {a.dtype.name for a in actual} == {dtype}
    assert_conv(actual, walk, [np.asarray(a, np.float64) for a in args])


def test_empty_batch():
    y, dx, dw = value_and_gradients(jnp.zeros((0, 3)), jnp.ones((3, 2)), jnp.zeros((0, 2)))
    assert y.shape == (0, 2)
    assert dx.shape == (0, 3)
    np.testing.assert_array_equal(dw, np.zeros((3, 2)))


@pytest.mark.parametrize("op", [dense, dense.forward])
def test_bias(op, rng, x64):
    x, w, b, g = (rng.normal(size=size) for size in ((3, 4), (4, 5), (5,), (3, 5)))
    y, pullback = jax.vjp(lambda b: op(x, w, b), b)
    np.testing.assert_array_equal(y, op(x, w) + b[None])
    assert_sums(pullback(g)[0], g.sum(0), np.abs(g).sum(0), 3)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5), (2, 1, 3, 5)])
def test_add_bias_at_every_rank(shape, rng, x64):
    y, b, g = (rng.normal(size=size) for size in (shape, (5,), shape))
    out, pullback = jax.vjp(add_bias, y, b)
    np.testing.assert_array_equal(out, y + np.broadcast_to(b, shape))
    dy, db = pullback(g)
    np.testing.assert_array_equal(dy, g)
    np.testing.assert_allclose(db, g.reshape(-1, 5).sum(0), rtol=1e-14, atol=1e-14)


X, W, B = np.zeros((2, 3), np.float32), np.zeros((3, 4), np.float32), np.zeros(4, np.float32)


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ((X[0], W), r"^x has shape \(3,\): expected 2 axes \[N, D\]"),
        ((X[None], W), r"^x has shape \(1, 2, 3\): expected 2 axes"),
        ((X, W[0]), r"^w has shape \(4,\): expected 2 axes \[D, K\]"),
        ((X, W.T), r"^x has shape \(2, 3\) but w has shape \(4, 3\): expected w to be \[D, K\]"),
        ((X, W, B[:1]), r"^b has shape \(1,\): expected \(4,\)"),
        ((X, W, B[None]), r"^b has shape \(1, 4\): expected \(4,\)"),
        ((X, W, 1.0), r"^b is a float: expected an array"),
        ((X.tolist(), W), r"^x is a list: expected an array"),
        ((X.astype(np.int32), W), r"^x has dtype int32: expected a floating-point dtype"),
        ((X, W.astype(bool)), r"^w has dtype bool: expected a floating-point dtype"),
        ((X, W.astype(np.float16)), r"different dtypes \(x float32, w float16\): expected one dtype"),
        ((X, W, B.astype(np.int32)), r"different dtypes \(x float32, w float32, b int32\)"),
    ],
)
@pytest.mark.parametrize("op", [dense, dense.forward])
def test_refused(op, args, match):
    with pytest.raises(ValueError, match=match):
        op(*args)
