"""Pooling: values and gradients against loops over the windows, ties, padding, conservation, refusals."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence.pool import oracle as loops
from convnet.ops import HAND, avg_pool, global_avg_pool, max_pool, sum_pool
from tests.ops.references import assert_sums, one_hots

# name: (shape, window, settings)
CASES = {
    "tiling": ((2, 4, 6, 2), 2, {}),
    "tiling, window (3, 2)": ((1, 6, 4, 2), (3, 2), {}),
    "remainder (1, 1)": ((1, 7, 5, 2), (3, 2), {}),
    "tiling in one axis": ((1, 6, 5, 1), (2, 3), {"stride": (2, 1)}),
    "overlapping": ((2, 5, 6, 2), 3, {"stride": (1, 2)}),
    "SAME, even window": ((1, 6, 5, 2), (2, 3), {"stride": (1, 2), "padding": "SAME"}),
    "SAME, window = stride, remainder": ((1, 7, 8, 1), (3, 3), {"padding": "SAME"}),
    "asymmetric": ((1, 5, 6, 2), (3, 4), {"stride": (2, 1), "padding": ((0, 2), (3, 1))}),
    "cropping": ((1, 7, 8, 1), (2, 3), {"stride": 2, "padding": ((-1, 1), (0, -2))}),
    "cropping, window = stride": ((1, 5, 7, 1), (2, 3), {"padding": ((-1, 0), (1, -2))}),
    "gaps": ((1, 9, 8, 2), (2, 1), {"stride": (4, 3)}),
    "whole image": ((2, 3, 4, 2), (3, 4), {}),
    "window larger than the image": ((1, 2, 3, 1), (4, 5), {"stride": 1, "padding": ((2, 1), (2, 2))}),
}

MEANS = {  # name: (op, what a window is divided by)
    "sum_pool": (sum_pool, lambda elements, real: 1),
    "avg_pool": (avg_pool, lambda elements, real: elements),
    "avg_pool, real": (lambda *a, **s: avg_pool(*a, count_include_pad=False, **s), lambda elements, real: real),
}


def value_and_gradient(op, window, settings):
    """(x, g) -> y, dL/dx, compiled: eagerly each tap of each window shape would be compiled on its own."""

    def run(x, g):
        y, pullback = jax.vjp(lambda x: op(x, window, **settings), x)
        return y, *pullback(g)

    return jax.jit(run)


def output_shape(shape, window, settings):
    return jax.eval_shape(lambda x: max_pool(x, window, **settings), np.zeros(shape)).shape


def assert_means(actual, x, g, window, divisor, settings):
    """Against the loops; one and the same function of |x| and of 1 gives the scale and the number of terms."""
    expected = loops.mean_pool(x, g, window, divisor=divisor, **settings)
    scale = loops.mean_pool(np.abs(x), np.abs(g), window, divisor=divisor, **settings)
    terms = loops.mean_pool(np.ones(x.shape), 1.0, window, divisor=lambda elements, real: 1, **settings)
    for one in zip(actual, expected, scale, terms, strict=True):
        assert_sums(*one)


@pytest.mark.parametrize(("shape", "window", "settings"), CASES.values(), ids=CASES)
def test_sums_and_means(shape, window, settings, rng, x64):
    runs = [value_and_gradient(op, window, settings) for op, _ in MEANS.values()]
    together = jax.jit(lambda x, g: [run(x, g) for run in runs])
    x, out = rng.normal(size=shape), output_shape(shape, window, settings)
    for g in (rng.normal(size=out), *one_hots(out)):
        for (_, divisor), actual in zip(MEANS.values(), together(x, g), strict=True):
            assert_means(actual, x, g, window, divisor, settings)


@pytest.mark.parametrize(("shape", "window", "settings"), CASES.values(), ids=CASES)
def test_max_pool(shape, window, settings, rng, x64):
    run, out = value_and_gradient(max_pool, window, settings), output_shape(shape, window, settings)
    images = {
        "distinct": rng.normal(size=shape),
        "ties": rng.integers(-1, 2, size=shape).astype(float),
        "below padding": np.where(rng.random(shape) < 0.8, -np.inf, -1.0),
        "only -inf": np.full(shape, -np.inf),
    }
    for x in images.values():
        for g in (rng.normal(size=out), *one_hots(out)):
            y, dx = run(x, g)
            expected, gradient = loops.max_pool(x, g, window, **settings)
            np.testing.assert_array_equal(y, expected)
            scale = loops.max_pool(x, np.abs(g), window, **settings)[1]
            terms = loops.max_pool(x, 1.0, window, **settings)[1]
            assert_sums(dx, gradient, scale, terms)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_low_precision(dtype, rng):
    shape, window, settings = CASES["asymmetric"]
    ops = [*(op for op, _ in MEANS.values()), max_pool]
    runs = [value_and_gradient(op, window, settings) for op in ops]
    x, g = (jnp.asarray(rng.normal(size=size), dtype) for size in (shape, output_shape(shape, window, settings)))
    *means, (y, dx) = results = jax.jit(lambda x, g: [run(x, g) for run in runs])(x, g)
    assert {a.dtype.name for pair in results for a in pair} == {dtype}
    x, g = np.asarray(x, np.float64), np.asarray(g, np.float64)
    for (_, divisor), actual in zip(MEANS.values(), means, strict=True):
        assert_means(actual, x, g, window, divisor, settings)
    expected, gradient = loops.max_pool(x, g, window, **settings)
    np.testing.assert_array_equal(np.asarray(y, np.float64), expected)
    scale, terms = (loops.max_pool(x, up, window, **settings)[1] for up in (np.abs(g), 1.0))
    assert_sums(dx, gradient, scale, terms)


@pytest.mark.parametrize(
    ("side", "settings", "looped"),
    [
        (8, {}, False),
        (9, {}, False),
        (9, {"stride": 3}, False),
        (9, {"padding": ((1, 0), (0, 1))}, False),
        (9, {"stride": 1}, True),
    ],
    ids=["tiling", "remainder", "gaps", "padding", "overlapping"],
)
def test_only_gradients_of_windows_that_overlap_are_computed_in_chunks(side, settings, looped):
    """Chunk after chunk they run on one core: with a remainder that took three times as long."""
    x, g = (jnp.zeros(size) for size in ((4, side, side, 2), output_shape((4, side, side, 2), 2, settings)))
    text = value_and_gradient(max_pool, 2, settings).lower(x, g).as_text()
    assert ("stablehlo.while" in text) == (looped and jax.default_backend() == "cpu")


# --- max: conventions -------------------------------------------------------------------------------------------------


def test_ties_go_to_the_first_in_row_major_order_and_overlaps_add_up():
    run = value_and_gradient(max_pool, 2, {"stride": 1})
    x, g = np.zeros((1, 3, 3, 1), np.float32), np.arange(1, 5, dtype=np.float32).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(run(x, g)[1][0, :, :, 0], [[1, 2, 0], [3, 4, 0], [0, 0, 0]])
    x[0, 1, 1, 0] = 1
    np.testing.assert_array_equal(run(x, g)[1][0, :, :, 0], [[0, 0, 0], [0, 10, 0], [0, 0, 0]])


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_the_gradient_goes_to_the_largest_however_often_a_compiler_computes_x(padding):
    """XLA computes this x once for the maximum and again for the winner, and rounds the two differently."""
    rows, cols = np.mgrid[:16, :20]
    image = jnp.asarray((20 * rows + cols) / 320, jnp.float32)[None, :, :, None]
    w, b = jnp.full((3, 3, 1, 4), 0.1), jnp.full(4, 0.1)

    def gradient(image, g):
        vjp = jax.vjp(lambda x: max_pool(x, 3, stride=2, padding=padding), HAND.conv2d(image, w, b, padding="VALID"))[1]
        return vjp(g)[0]

    shape = jax.eval_shape(lambda x: max_pool(x, 3, stride=2, padding=padding), jnp.zeros((1, 14, 18, 4))).shape
    compiled = jax.jit(gradient, compiler_options={"xla_backend_optimization_level": 3})
    # The image grows to the right and downwards, so the last real pixel of each window is the largest.
    last = [np.minimum(np.arange(n) * 2 + 2 - before, side - 1) for n, before, side in places(padding)]
    expected = np.zeros((1, 14, 18, 4))
    np.add.at(expected, (slice(None), *np.ix_(*last)), 1)
    np.testing.assert_array_equal(compiled(image, jnp.ones(shape)), expected)


def places(padding):
    """Windows, padding before the image, and size of each axis of 14×18 pixels, for windows of 3 with stride 2."""
    return ((7, 0, 14), (9, 0, 18)) if padding == "SAME" else ((6, 0, 14), (8, 0, 18))


@pytest.mark.parametrize("name", ["asymmetric", "gaps"])
def test_gradients_are_conserved(name, rng, x64):
    """Σdx = Σg for the maximum and for the mean over real elements, and exactly so for whole numbers."""
    shape, window, settings = CASES[name]
    x = rng.integers(-2, 3, size=shape).astype(float)
    g = rng.integers(-9, 10, size=output_shape(shape, window, settings)).astype(float)
    runs = [value_and_gradient(op, window, settings) for op in (max_pool, MEANS["avg_pool, real"][0])]
    largest, mean = jax.jit(lambda x, g: [run(x, g)[1] for run in runs])(x, g)
    assert np.sum(largest) == g.sum()
    np.testing.assert_allclose(np.sum(mean), g.sum(), rtol=1e-12, atol=1e-12)


def test_nan_reaches_every_window_that_sees_it_and_no_other(rng):
    x = rng.normal(size=(1, 5, 5, 2)).astype(np.float32)
    x[0, 2, 1, 0] = np.nan
    y = jax.jit(lambda x: max_pool(x, 2, stride=1, padding="SAME"))(x)
    seen = np.zeros(y.shape, bool)
    seen[0, 1:3, 0:2, 0] = True
    np.testing.assert_array_equal(np.isnan(y), seen)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_max_pool_of_integers(dtype, rng):
    info = np.iinfo(dtype)
    x = rng.choice(np.array([info.min, info.min + 1, info.max], dtype), size=(2, 5, 4, 3), p=(0.8, 0.1, 0.1))
    for padding in ("VALID", 1):
        y = jax.jit(partial(max_pool, window=3, stride=2, padding=padding))(x)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, loops.max_pool(x, 0.0, 3, stride=2, padding=padding)[0])


def test_the_infinity_that_padding_holds_is_not_seen_by_a_debugger(rng):
    x = jnp.asarray(rng.normal(size=(1, 3, 3, 1)), "float32")
    with jax.debug_infs(True), jax.debug_nans(True):
        jax.grad(lambda x: max_pool(x, 2, stride=1, padding="SAME").sum())(x)
        with pytest.raises(FloatingPointError, match="inf"):
            max_pool(x - jnp.inf, 2)


def test_windows_with_more_taps_than_a_byte_can_name():
    x = np.zeros((1, 1, 257, 1), np.float32)
    x[0, 0, 256] = 1
    dx = jax.jit(jax.grad(lambda x: max_pool(x, (1, 257)).sum()))(x)
    assert np.flatnonzero(dx).tolist() == [256]


# --- global -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_global_avg_pool(dtype, rng, x64):
    x, g = (jnp.asarray(rng.normal(size=size), dtype) for size in ((2, 3, 5, 4), (2, 4)))
    y, pullback = jax.vjp(global_avg_pool, x)
    expected, scale, gradient = np.zeros((2, 4)), np.zeros((2, 4)), np.zeros(x.shape)
    x, g = np.asarray(x, np.float64), np.asarray(g, np.float64)
    for h in np.ndindex(3, 5):
        expected += x[:, *h] / 15
        scale += np.abs(x[:, *h]) / 15
        gradient[:, *h] = g / 15
    assert y.dtype == pullback(jnp.asarray(g, dtype))[0].dtype == dtype
    assert_sums(y, expected, scale, 15)
    assert_sums(pullback(jnp.asarray(g, dtype))[0], gradient, np.abs(gradient), 1)


# --- refusals ---------------------------------------------------------------------------------------------------------

X = np.zeros((1, 4, 5, 2), np.float32)


@pytest.mark.parametrize("op", [max_pool, avg_pool, sum_pool, max_pool.forward])
@pytest.mark.parametrize(
    ("x", "window", "settings", "match"),
    [
        (X[0], 2, {}, r"^x has shape \(4, 5, 2\): expected 4 axes \[N, H, W, C\]"),
        (X.tolist(), 2, {}, r"^x is a list: expected an array"),
        (X > 0, 2, {}, r"^x has dtype bool: expected"),
        (X.astype(np.complex64), 2, {}, r"^x has dtype complex64: expected"),
        (X, 0, {}, r"^window is 0: expected an int or a pair of ints of at least 1"),
        (X, (2, -1), {}, r"^window is \(2, -1\): expected"),
        (X, True, {}, r"^window is True: expected"),
        (X, 2.0, {}, r"^window is 2.0: expected"),
        (X, None, {}, r"^window is None: expected"),
        (X, 2, {"stride": 0}, r"^stride is 0: expected"),
        (X, 2, {"stride": (1, 2, 3)}, r"^stride is \(1, 2, 3\): expected"),
        (X, 2, {"padding": "same"}, r"^padding is 'same': expected 'SAME', 'VALID'"),
        (X, 2, {"padding": 0.5}, r"^padding is 0.5: expected"),
        (X, (5, 1), {}, r"^the output is empty: no window of 5 rows fits an input of 4"),
        (X, (1, 3), {"padding": ((0, 0), (-2, -1))}, r"^the output is empty: no window of 3 columns fits .* of 5"),
        (X[:, :0], 1, {"padding": 1}, r"^the output is empty: no window of 1 rows fits an input of 0"),
        (X, 2, {"padding": 2}, r"^padding is 2: a window of 2 would lie wholly in padding"),
        (X, (1, 2), {"padding": ((0, 0), (0, 2)), "stride": 1}, r"^padding is .*: a window of \(1, 2\) would lie"),
        (X, (2, 1), {"padding": ((-5, 9), (0, 0)), "stride": 1}, r"^padding is .*: a window of \(2, 1\) would lie"),
    ],
)  # fmt: skip
def test_refused(op, x, window, settings, match):
    with pytest.raises(ValueError, match=match):
        op(x, window, **settings)


@pytest.mark.parametrize("op", [avg_pool, sum_pool])
def test_integers_have_no_mean(op):
    with pytest.raises(ValueError, match=r"^x has dtype uint8: expected a floating-point dtype"):
        op(X.astype(np.uint8), 2)


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (X[0], r"^x has shape \(4, 5, 2\): expected 4 axes"),
        (X[:, :0], r"^x has shape \(1, 0, 5, 2\): expected at least one pixel"),
        (X.astype(np.int32), r"^x has dtype int32: expected a floating-point dtype"),
    ],
)
def test_global_avg_pool_refuses(x, match):
    with pytest.raises(ValueError, match=match):
        global_avg_pool(x)
