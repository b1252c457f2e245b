"""Log-sum-exp and log-softmax: against the oracles, masks, −∞, shifts, extremes, low precision, refusals."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import log_softmax, logsumexp
from tests.ops.references import UNIT

OPS = {"logsumexp": logsumexp, "log_softmax": log_softmax}
FORWARD = {"logsumexp": logsumexp.forward, "log_softmax": log_softmax.forward}
ALL = [*OPS.items(), *FORWARD.items()]
IDS = ["logsumexp", "log_softmax", "logsumexp, auto", "log_softmax, auto"]
INF = math.inf


@cache
def compiled(op, axis):
    def run(x, g, where):
        y, pullback = jax.vjp(lambda x: op(x, axis=axis, where=where), x)
        return y, pullback(g)[0]

    return jax.jit(run)


def value_and_gradient(op, x, g, axis=-1, where=None):
    y, dx = compiled(op, axis)(x, g, where)
    assert y.dtype == dx.dtype == x.dtype
    return np.asarray(y, np.float64), np.asarray(dx, np.float64)


def upstream(rng, name, x, axis=-1):
    g = rng.normal(size=x.shape)
    return np.take(g, 0, axis) if name == "logsumexp" else g


def mask_of(rng, shape):
    """About half is kept; of the first row and the first column nothing is."""
    mask = rng.random(shape) < 0.6
    mask[0] = mask[..., 0] = False
    return mask


@pytest.mark.parametrize("masked", [False, True], ids=["all", "masked"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((7,), 0), ((4, 5), -1), ((4, 5), 0), ((3, 2, 4), 1), ((3, 2, 4), -3), ((3, 1), 1)]
)
@pytest.mark.parametrize("name", OPS)
def test_against_the_oracle(name, shape, axis, masked, rng, x64):
    """By hand and by JAX, in one program."""
    x = 3 * rng.normal(size=shape)
    where = mask_of(rng, shape) if masked else None
    g = upstream(rng, name, x, axis)
    settings = dict(axis=axis, where=where)
    expected = EVIDENCE[name].oracle.value(x, **settings), *EVIDENCE[name].oracle.gradient(g, x, **settings)
    by_hand_and_by_jax = jax.jit(lambda *args: [compiled(op, axis)(*args) for op in (OPS[name], FORWARD[name])])
    for y, dx in by_hand_and_by_jax(x, g, where):
        assert y.dtype == dx.dtype == x.dtype
        np.testing.assert_allclose(y, expected[0], rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(dx, expected[1], rtol=1e-13, atol=1e-15)
        if masked:
            np.testing.assert_array_equal(np.asarray(dx)[~where], 0)


@pytest.mark.parametrize(("name", "op"), ALL, ids=IDS)
def test_a_mask_is_as_if_the_entries_were_not_there(name, op, rng, x64):
    """Whatever they are, and whatever is upstream of them."""
    x, kept = rng.normal(size=(2, 6)), np.array([0, 2, 3])
    where = np.zeros((2, 6), bool)
    where[:, kept] = True
    g = upstream(rng, name, x)
    inner = value_and_gradient(op, x[:, kept], g if name == "logsumexp" else g[:, kept])
    x[:, [1, 4]] = np.nan, np.inf
    if name == "log_softmax":
        g[:, [1, 5]] = np.nan, np.inf
    y, dx = value_and_gradient(op, x, g, where=where)
    np.testing.assert_allclose(y if name == "logsumexp" else y[:, kept], inner[0], rtol=1e-14)
    np.testing.assert_allclose(dx[:, kept], inner[1], rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(dx[~where], 0)
    if name == "log_softmax":
        np.testing.assert_array_equal(y[~where], -INF)


@pytest.mark.parametrize(("name", "op"), ALL, ids=IDS)
def test_minus_infinity_is_as_masked(name, op):
    """Among finite entries, where there is nothing else, and where the mask leaves nothing else."""
    x = np.array([[1, -INF, 1, -INF], [-INF] * 4, [2, 3, 4, 5], [2, -INF, 3, 4], [-INF, -INF, 0, -INF]], np.float32)
    where = np.array([[1, 1, 1, 1], [1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0]], bool)
    g = np.ones(5 if name == "logsumexp" else (5, 4), np.float32)
    y, dx = value_and_gradient(op, x, g, where=where)
    if name == "logsumexp":
        np.testing.assert_allclose(y, [1 + math.log(2), -INF, -INF, -INF, 0], rtol=1e-6)
        np.testing.assert_allclose(dx, [[0.5, 0, 0.5, 0], [0] * 4, [0] * 4, [0] * 4, [0, 0, 1, 0]], rtol=1e-6)
    else:
        half = -math.log(2)
        rows = [[half, -INF, half, -INF], [-INF] * 4, [-INF] * 4, [-INF] * 4, [-INF, -INF, 0, -INF]]
        np.testing.assert_allclose(y, rows, rtol=1e-6)
        np.testing.assert_array_equal(dx, 0)


@pytest.mark.parametrize("name", OPS)
def test_second_derivatives_know_the_mask_too(name, x64):
    x = np.array([[1.0, -INF, 2.0, np.nan], [-INF, 1.0, 2.0, 3.0]])
    where = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
    v, g = np.where(where, 1.0 + np.arange(4), np.nan), np.array([2.0, 3.0])
    g = g if name == "logsumexp" else np.outer(g, [1, 5, 2, 7])
    slope = lambda x: jax.vjp(lambda x: OPS[name](x, where=where), x)[1](g)[0]  # noqa: E731
    forward, backward = jax.jit(lambda x: (jax.jvp(slope, (x,), (v,))[1], jax.vjp(slope, x)[1](v)[0]))(x)
    p = 1 / (1 + math.e)  # of the first of the two entries that count
    bend = p * (1 - p) * np.array([1, 0, -1, 0]) * (v[0, 0] - v[0, 2])
    expected = np.stack([2 * bend if name == "logsumexp" else -(2 + 4) * bend, np.zeros(4)])
    np.testing.assert_allclose(forward, expected, rtol=1e-13)
    np.testing.assert_allclose(backward, expected, rtol=1e-13)


# --- what they are ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hessian", [jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))])
def test_hessian_of_logsumexp_is_diag_p_minus_p_p(hessian, rng, x64):
    x = rng.normal(size=5)
    p = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(jax.grad(logsumexp)(x), p, rtol=1e-14)
    np.testing.assert_allclose(jax.jit(hessian(logsumexp))(x), np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-16)


def test_log_softmax_is_normalised_and_sees_differences_only(rng, x64):
    x, g = 3 * rng.normal(size=(4, 6)), rng.normal(size=(4, 6))
    y, dx = value_and_gradient(log_softmax, x, g)
    np.testing.assert_allclose(np.exp(y).sum(1), 1, rtol=1e-14)
    np.testing.assert_allclose(dx.sum(1), 0, atol=1e-14)
    np.testing.assert_allclose(y, x - np.asarray(logsumexp(x))[:, None], rtol=1e-13)
    np.testing.assert_allclose(value_and_gradient(logsumexp, x, np.ones(4))[1], np.exp(y), rtol=1e-13)


@pytest.mark.parametrize(("dtype", "shift"), [("float32", 2.0**24), ("bfloat16", 256.0)])
@pytest.mark.parametrize(("name", "op"), ALL, ids=IDS)
def test_a_common_shift_changes_no_slope(name, op, dtype, shift):
    """The shifted entries lie 2 apart and their differences are exact; x − L, with L rounded, would not be."""
    x = jnp.asarray([[2, 2, 0], [0, 4, 2], [2, 6, 6]], dtype)
    g = jnp.ones(3, dtype) if name == "logsumexp" else jnp.asarray([[1, 2, 3]] * 3, dtype)
    y, dx = value_and_gradient(op, x, g)
    shifted, slope = value_and_gradient(op, x + jnp.asarray(shift, dtype), g)
    np.testing.assert_array_equal(slope, dx)
    if name == "log_softmax":
        np.testing.assert_array_equal(shifted, y)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize(("name", "op"), ALL, ids=IDS)
def test_large_entries(name, op, dtype, x64):
    """Any finite entries: the value is right, or −∞ where it is below the smallest number, and nothing is NaN."""
    for size in (1e4, 1e30, float(jnp.finfo(dtype).max)):
        x = jnp.asarray([[size, -size, 0], [-size] * 3, [size, size, -size]], dtype)
        size = float(x[0, 0])
        g = jnp.ones(3, dtype) if name == "logsumexp" else jnp.asarray([[1, 0, 0]] * 3, dtype)
        y, dx = value_and_gradient(op, x, g)
        p = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]])
        if name == "logsumexp":
            np.testing.assert_allclose(y, [size, -size + math.log(3), size + math.log(2)], rtol=4 * UNIT[dtype])
            np.testing.assert_allclose(dx, p, rtol=4 * UNIT[dtype])
        else:
            np.testing.assert_allclose(y[1], -math.log(3), rtol=4 * UNIT[dtype])
            np.testing.assert_allclose(y[[0, 2], 0], [0, -math.log(2)], rtol=4 * UNIT[dtype])
            assert (y[0, 1:] <= -size).all()
            np.testing.assert_allclose(dx, [[1, 0, 0]] - p, atol=4 * UNIT[dtype])


@pytest.mark.parametrize("name", OPS)
def test_bfloat16_adds_up_in_float32(name, rng):
    """A sum of 1000 equal terms would stop growing at 256 in bfloat16."""
    x = jnp.zeros(1000, jnp.bfloat16)
    g = jnp.ones((), jnp.bfloat16) if name == "logsumexp" else jnp.asarray(np.arange(1000) == 3, jnp.bfloat16)
    y, dx = value_and_gradient(OPS[name], x, g)
    sign = 1 if name == "logsumexp" else -1
    np.testing.assert_allclose(y, sign * math.log(1000), rtol=UNIT["bfloat16"])
    np.testing.assert_allclose(np.delete(dx, 3), sign / 1000, rtol=UNIT["bfloat16"])


def test_no_infinity_is_made_that_is_not_used(rng):
    """Also where a mask takes out the largest entry, and one that is not a number."""
    x, where = np.float32([[1, 2, 3e38], [4, np.nan, 6]]), np.array([[True, True, False], [True, False, True]])
    with jax.debug_infs(True):
        value, slope = jax.value_and_grad(lambda x: logsumexp(x, where=where).sum())(x)
        log_softmax(jnp.asarray(rng.normal(size=(2, 3)), "float32"))
    np.testing.assert_allclose(value, np.logaddexp(1, 2) + np.logaddexp(4, 6), rtol=1e-6)
    np.testing.assert_array_equal(slope == 0, ~where)


@pytest.mark.parametrize(("name", "op"), ALL, ids=IDS)
def test_nan_stays_nan(name, op):
    y = np.asarray(op(jnp.array([[1.0, np.nan], [1.0, 2.0]])))
    np.testing.assert_array_equal(np.isnan(y), [True, False] if name == "logsumexp" else [[True, True], [False, False]])


def test_vmap_of_a_mask(rng):
    x = rng.normal(size=(3, 2, 4)).astype(np.float32)
    where = mask_of(rng, x.shape)

    def slopes(x, where):
        return [jax.grad(lambda x, op=op: jnp.sum(jnp.exp(op(x, where=where))))(x) for op in OPS.values()]

    mapped, alone = jax.jit(lambda x, where: (jax.vmap(slopes)(x, where), slopes(x[2], where[2])))(x, where)
    for one, other in zip(mapped, alone, strict=True):
        np.testing.assert_allclose(one[2], other, rtol=1e-5, atol=1e-6)


# --- refusals ---------------------------------------------------------------------------------------------------------

X = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize("op", [op for _, op in ALL], ids=IDS)
@pytest.mark.parametrize(
    ("x", "settings", "match"),
    [
        (X.tolist(), {}, r"^x is a list: expected an array"),
        (X.astype(np.int32), {}, r"^x has dtype int32: expected a floating-point dtype"),
        (X, {"axis": 2}, r"^axis is 2: expected an axis of x, which has shape \(2, 3\)"),
        (X, {"axis": -3}, r"^axis is -3: expected an axis of x"),
        (X, {"axis": None}, r"^axis is None: expected an axis of x"),
        (X, {"axis": (0, 1)}, r"^axis is \(0, 1\): expected an axis of x"),
        (X, {"axis": True}, r"^axis is True: expected an axis of x"),
        (X[0, 0], {}, r"^axis is -1: expected an axis of x, which has shape \(\)"),
        (X[:, :0], {}, r"^x has shape \(2, 0\): expected at least one entry along axis -1"),
        (X, {"where": X}, r"^where is float32 \(2, 3\): expected bool \(2, 3\), True keeps"),
        (X, {"where": X[0] == 0}, r"^where is bool \(3,\): expected bool \(2, 3\)"),
        (X, {"where": [True]}, r"^where is a list: expected an array"),
    ],
)
def test_refused(op, x, settings, match):
    with pytest.raises(ValueError, match=match):
        partial(op, **settings)(x)
