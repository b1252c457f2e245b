"""Convolutions: values and gradients against loops over the definition, adjointness, equivariance, refusals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence.conv import oracle as loops
from convnet.ops import conv2d, conv_transpose2d, convolve2d
from convnet.ops.conv import conv2d_as
from convnet.ops.formulations import MAPS
from tests.ops.references import assert_conv, assert_sums, one_hots

# name: (shape of x, shape of w, settings). r is the remainder of (rows, columns).
CASES = {
    "SAME 3x3": ((2, 5, 4, 3), (3, 3, 3, 2), {}),
    "1x1": ((2, 3, 2, 3), (1, 1, 3, 4), {}),
    "1x1 stride, r = (1, 2)": ((1, 6, 6, 2), (1, 1, 2, 3), {"stride": (2, 3), "padding": "VALID"}),
    "r = (2, 1)": ((2, 9, 8, 2), (3, 3, 2, 3), {"stride": (4, 2), "padding": "VALID"}),
    "r = (1, 3), padded": ((1, 8, 9, 2), (3, 2, 2, 2), {"stride": (3, 5), "padding": (1, 2)}),
    "gcd(s, d) = (2, 3), r > 0": ((1, 10, 12, 2), (3, 2, 2, 2), {"stride": (2, 3), "dilation": (2, 3), "padding": 1}),
    "gcd(s, d) = 2, s != d": ((1, 12, 11, 1), (3, 3, 1, 2), {"stride": (4, 2), "dilation": (2, 4), "padding": (3, 2)}),
    "asymmetric": ((2, 5, 6, 2), (3, 2, 2, 3), {"stride": (2, 1), "padding": ((0, 2), (3, 1))}),
    "cropping": ((1, 8, 7, 2), (2, 3, 2, 2), {"stride": 2, "padding": ((-1, -2), (-2, 1))}),
    "cropping high, padding low": ((1, 7, 9, 1), (3, 2, 1, 2), {"stride": (2, 3), "padding": ((2, -1), (3, -2))}),
    "cropping more than the image": ((1, 3, 6, 1), (2, 2, 1, 1), {"padding": ((-5, 6), (4, -7))}),
    "padding beyond the span": ((1, 3, 4, 2), (2, 1, 2, 2), {"stride": (1, 2), "padding": ((3, 4), (2, 3))}),
    "kernel larger than the image": ((2, 2, 3, 1), (5, 4, 1, 2), {"padding": ((2, 3), (1, 3))}),
    "SAME, kernel larger than the image": ((1, 2, 3, 1), (5, 4, 1, 1), {"stride": (1, 2)}),
    "gaps": ((1, 9, 8, 2), (2, 1, 2, 2), {"stride": (4, 3), "padding": "VALID"}),
    "gaps, SAME": ((1, 8, 7, 1), (1, 2, 1, 2), {"stride": (3, 4)}),
    "SAME, even sizes, stride 2": ((1, 6, 8, 2), (3, 3, 2, 2), {"stride": 2}),
    "SAME, even kernel, stride (2, 3)": ((1, 7, 8, 2), (2, 4, 2, 2), {"stride": (2, 3)}),
    "SAME, dilation (1, 3)": ((1, 6, 9, 2), (2, 3, 2, 2), {"dilation": (1, 3)}),
    "groups 2": ((2, 6, 5, 4), (3, 2, 2, 6), {"stride": (2, 1), "groups": 2}),
    "groups 3 of 6 -> 3": ((1, 4, 4, 6), (2, 2, 2, 3), {"groups": 3, "padding": 1}),
    "depthwise": ((2, 5, 6, 3), (3, 3, 1, 3), {"stride": 2, "padding": 1, "groups": 3}),
    "depthwise, two each": ((2, 5, 4, 3), (2, 3, 1, 6), {"groups": 3}),
    "one output": ((2, 4, 3, 2), (4, 3, 2, 2), {"padding": "VALID", "stride": 3}),
    "everything": (
        (2, 11, 10, 4),
        (3, 2, 2, 6),
        {"stride": (3, 2), "dilation": (2, 4), "groups": 2, "padding": ((2, -1), (1, 2))},
    ),
}  # fmt: skip


def normals(rng, *shapes):
    return [rng.normal(size=shape) for shape in shapes]


def value_and_gradients(op, settings):
    """(x, w, g) -> y, dL/dx, dL/dw, compiled: one compilation is a fraction of the time of many small ones."""

    def run(x, w, g):
        y, pullback = jax.vjp(lambda x, w: op(x, w, **settings), x, w)
        return y, *pullback(g)

    return jax.jit(run)


def output_shape(op, x, w, settings):
    return jax.eval_shape(lambda x, w: op(x, w, **settings), x, w).shape


@pytest.mark.parametrize(("x", "w", "settings"), CASES.values(), ids=CASES)
def test_conv2d(x, w, settings, rng, x64):
    x, w = normals(rng, x, w)
    run, shape = value_and_gradients(conv2d, settings), output_shape(conv2d, x, w, settings)
    for g in (rng.normal(size=shape), *one_hots(shape)):
        assert_conv(run(x, w, g), lambda *a: loops.conv2d(*a, **settings), (x, w, g))


def test_the_table_is_nasty(rng):
    """Elements that no window reads are in it (and so asserted to have gradient exactly 0), at the end and in gaps."""
    untouched = {}
    for name, (x, w, settings) in CASES.items():
        _, dx, _ = loops.conv2d(np.ones(x), np.ones(w), 1.0, **settings)
        untouched[name] = (dx[0, -1] == 0).all(), (dx[0, :, -1] == 0).all(), (dx[0, 1:-1, 1:-1] == 0).any()
    assert sum(rows for rows, _, _ in untouched.values()) >= 4
    assert sum(cols for _, cols, _ in untouched.values()) >= 4
    assert sum(inner for _, _, inner in untouched.values()) >= 4


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["SAME 3x3", "depthwise", "everything"])
def test_conv2d_in_low_precision(name, dtype, rng):
    """Against float64 loops on the same rounded inputs: no more than one rounding per term (see `assert_sums`)."""
    x, w, settings = CASES[name]
    g = rng.normal(size=output_shape(conv2d, np.zeros(x), np.zeros(w), settings))
    args = [jnp.asarray(a, dtype) for a in (*normals(rng, x, w), g)]
    actual = value_and_gradients(conv2d, settings)(*args)
    assert {a.dtype.name for a in actual} == {dtype}
    assert_conv(actual, lambda *a: loops.conv2d(*a, **settings), [np.asarray(a, np.float64) for a in args])


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [
        ((2, 3), {"padding": ((0, 0), (-2, 1))}),
        ((2, 2), {"padding": ((-1, 1), (-1, 2)), "stride": (1, 2)}),
        ((2, 3), {"padding": ((2, 0), (4, 1))}),  # so is the gradient's padding: k − 1 − (lo, hi)
        ((1, 1), {"padding": ((3, 0), (0, 1)), "groups": 2}),
        ((3, 2), {"padding": ((-5, 6), (-1, 1)), "stride": (2, 1), "dilation": (1, 2)}),
    ],
)
@pytest.mark.parametrize("formulation", [None, "eigen", "direct"])
def test_cropping_low_and_padding_high_in_float32(kernel, settings, formulation, rng):
    """XLA:CPU of jax 0.10.2 reads beyond the image there, in float32 only."""
    maps = ("correlate", "kernel_gradient") if formulation == "eigen" else MAPS
    known = maps if "groups" not in settings or formulation == "direct" else ()
    op = conv2d_as(**dict.fromkeys(known, formulation))
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((2, 5, 6, 4), (*kernel, 4 // settings.get("groups", 1), 2)))
    g = rng.normal(size=output_shape(conv2d, x, w, settings)).astype(np.float32)
    actual = value_and_gradients(op, settings)(x, w, g)
    assert_conv(actual, lambda *a: loops.conv2d(*a, **settings), [a.astype(np.float64) for a in (x, w, g)])


@pytest.mark.parametrize("op", [conv2d, conv_transpose2d, convolve2d])
def test_bias(op, rng, x64):
    """The bias is added at every place, and collects g from all of them (output padding included)."""
    x, w, b = normals(rng, (2, 3, 4, 4), (2, 3, 2, 4), (4,))
    settings = {"stride": (2, 1), "groups": 2}
    y, pullback = jax.vjp(lambda b: op(x, w, b, **settings), b)
    np.testing.assert_array_equal(y, op(x, w, **settings) + b[None, None, None])
    g = rng.normal(size=y.shape)
    assert_sums(pullback(g)[0], g.sum((0, 1, 2)), np.abs(g).sum((0, 1, 2)), g[..., 0].size)


def test_eager_is_compiled(rng, x64):
    """Called op by op, the primitive runs through another path (`def_impl`) than under jit."""
    x, w, settings = CASES["everything"]
    x, w = normals(rng, x, w)
    y, pullback = jax.vjp(lambda x, w: conv2d(x, w, **settings), x, w)
    g = rng.normal(size=y.shape)
    assert_conv((y, *pullback(g)), lambda *a: loops.conv2d(*a, **settings), (x, w, g))


# --- transposed convolution -------------------------------------------------------------------------------------------

# name: (shape of x, shape of w, settings, spatial size of y): all output paddings from 0 to stride − 1 occur
TRANSPOSED = {
    "SAME": ((2, 4, 3, 3), (3, 3, 2, 3), {}, (4, 3)),
    "SAME, stride 2, output padding 0": ((1, 3, 4, 2), (3, 3, 2, 2), {"stride": 2}, (5, 7)),
    "SAME, stride 2, output padding 1": ((1, 3, 4, 2), (3, 3, 2, 2), {"stride": 2, "output_padding": 1}, (6, 8)),
    "SAME, even kernel": ((1, 3, 2, 2), (4, 2, 1, 2), {"stride": (2, 3), "output_padding": (1, 2)}, (6, 6)),
    "gaps": ((1, 3, 2, 1), (1, 2, 2, 1), {"stride": (3, 4), "padding": "VALID", "output_padding": (2, 1)}, (9, 7)),
    "asymmetric": ((1, 4, 3, 2), (3, 2, 2, 2), {"stride": 2, "padding": ((0, 2), (1, 0)), "output_padding": 1}, (8, 6)),
    "negative padding": ((1, 3, 3, 2), (2, 3, 1, 2), {"stride": (1, 2), "padding": ((-1, 0), (-2, 1))}, (5, 8)),
    "dilation": ((1, 3, 3, 2), (3, 2, 2, 2), {"stride": 2, "dilation": (2, 3), "padding": 1}, (7, 6)),
    "groups 2": ((2, 3, 2, 6), (3, 2, 2, 6), {"stride": 2, "groups": 2, "output_padding": (0, 1)}, (5, 4)),
    "depthwise": ((1, 3, 2, 3), (2, 3, 1, 3), {"stride": 2, "groups": 3, "output_padding": (1, 0)}, (6, 3)),
}  # fmt: skip


@pytest.mark.parametrize(("x", "w", "settings", "size"), TRANSPOSED.values(), ids=TRANSPOSED)
def test_conv_transpose2d(x, w, settings, size, rng, x64):
    x, w = normals(rng, x, w)
    run, shape = value_and_gradients(conv_transpose2d, settings), output_shape(conv_transpose2d, x, w, settings)
    assert shape == (x.shape[0], *size, w.shape[2] * settings.get("groups", 1))
    forward = {name: value for name, value in settings.items() if name != "output_padding"}
    for g in (rng.normal(size=shape), *one_hots(shape)):
        assert_conv(run(x, w, g), lambda *a: loops.conv_transpose2d(*a, size, **forward), (x, w, g))


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((2, 0), (-1, 1))])
@pytest.mark.parametrize("stride", [(1, 2), (3, 1)])
def test_conv_transpose2d_is_the_adjoint_for_every_output_padding(padding, stride, rng, x64):
    settings = {"stride": stride, "padding": padding, "groups": 2}
    w = rng.normal(size=(3, 4, 1, 4))
    x = rng.normal(size=(2, 3, 2, 4))
    for extra in itertools.product(*map(range, stride)):
        y = conv_transpose2d(x, w, output_padding=extra, **settings)
        u = rng.normal(size=y.shape)
        back = conv2d(u, w, **settings)
        assert back.shape == x.shape  # every size goes back to the size it came from
        scale = np.sum(conv2d(np.abs(u), np.abs(w), **settings) * np.abs(x))
        assert abs(np.vdot(back, x) - np.vdot(u, y)) <= 1e-15 * scale


def test_conv_transpose2d_keeps_its_dtype(rng):
    args = [jnp.asarray(a, "bfloat16") for a in normals(rng, (1, 3, 3, 2), (3, 3, 2, 2), (1, 5, 5, 2))]
    actual = value_and_gradients(conv_transpose2d, {"stride": 2})(*args)
    assert {a.dtype.name for a in actual} == {"bfloat16"}
    args = [np.asarray(a, np.float64) for a in args]
    assert_conv(actual, lambda *a: loops.conv_transpose2d(*a, (5, 5), stride=2), args)


# --- the mathematician's convolution ----------------------------------------------------------------------------------


def test_convolve2d_by_its_definition(rng, x64):
    """(x ∗ w)[p] = Σ_i w[i] x[p − i], of full size, value and gradients, walked with indices of its own."""
    x, w = rng.normal(size=(4, 5)), rng.normal(size=(3, 2))
    g = rng.normal(size=(6, 6))
    y, dx, dw = np.zeros((6, 6)), np.zeros((4, 5)), np.zeros((3, 2))
    for h in np.ndindex(4, 5):
        for i in np.ndindex(3, 2):
            p = h[0] + i[0], h[1] + i[1]
            y[p] += x[h] * w[i]
            dx[h] += w[i] * g[p]
            dw[i] += x[h] * g[p]

    def full(x, w):
        return convolve2d(x[None, :, :, None], w[:, :, None, None], padding=((2, 2), (1, 1)))[0, :, :, 0]

    actual, pullback = jax.vjp(full, x, w)
    for one, expected in zip((actual, *pullback(g)), (y, dx, dw), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("op", [convolve2d, convolve2d.forward])
def test_convolve2d_is_conv2d_with_the_kernel_rotated(op, rng, x64):
    x, w, b = normals(rng, (2, 7, 6, 4), (3, 2, 2, 4), (4,))
    settings = {"stride": (2, 1), "dilation": (1, 2), "padding": ((0, 2), (1, -1)), "groups": 2}
    y, pullback = jax.vjp(lambda *a: op(*a, **settings), x, w, b)
    rotated, rotated_pullback = jax.vjp(lambda *a: conv2d(*a, **settings), x, w[::-1, ::-1], b)
    g = rng.normal(size=y.shape)
    (dx, dw, db), (rx, rw, rb) = pullback(g), rotated_pullback(g)
    for one, other in ((y, rotated), (dx, rx), (dw, rw[::-1, ::-1]), (db, rb)):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-13)


def test_convolution_commutes(rng, x64):
    """a ∗ b = b ∗ a for the full convolution, which cross-correlation does not."""
    a, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))

    def full(op, x, w):
        margins = tuple((k - 1, k - 1) for k in w.shape)
        return np.asarray(op(x[None, :, :, None], w[:, :, None, None], padding=margins)[0, :, :, 0])

    np.testing.assert_allclose(full(convolve2d, a, b), full(convolve2d, b, a), rtol=1e-13, atol=1e-14)
    assert not np.allclose(full(conv2d, a, b), full(conv2d, b, a))


@pytest.mark.parametrize("per_channel", [1, 2])
def test_kernels_of_one_channel_under_vmap_are_those_one_by_one(per_channel, rng, x64):
    """Value and both gradients of three pairs, of which the sums over taps are computed all at once."""
    x, w = rng.standard_normal((3, 2, 6, 5, 4)), rng.standard_normal((3, 3, 2, 1, 4 * per_channel))

    def maps(x, w):
        y, pull = jax.vjp(lambda x, w: conv2d(x, w, groups=4, stride=2), x, w)
        return y, *pull(jnp.cos(y))

    together = jax.jit(jax.vmap(maps))(x, w)
    for i in range(3):
        for all_of_them, alone in zip(together, jax.jit(maps)(x[i], w[i]), strict=True):
            np.testing.assert_allclose(all_of_them[i], alone, rtol=1e-12, atol=1e-14)


def test_translation_equivariance(rng, x64):
    """Moving the image by stride·n moves the output by n, away from the border; and so for dL/dx.

    Of whole numbers, whose sums are the same in every order: it need not be one order at all places.
    """
    whole = lambda *shape: rng.integers(-9, 10, shape).astype(float)  # noqa: E731
    x = np.zeros((1, 16, 15, 2))
    x[:, 4:8, 3:9] = whole(1, 4, 6, 2)
    w = whole(3, 2, 2, 2)
    moved = np.roll(x, (2 * 2, 3), (1, 2))
    settings = {"stride": (2, 1), "dilation": (1, 2), "padding": "SAME"}
    y, pullback = jax.vjp(lambda x: conv2d(x, w, **settings), x)
    np.testing.assert_array_equal(conv2d(moved, w, **settings), np.roll(y, (2, 3), (1, 2)))
    g = np.zeros(y.shape)
    g[:, 2:4, 3:6] = whole(1, 2, 3, 2)
    np.testing.assert_array_equal(pullback(np.roll(g, (2, 3), (1, 2)))[0], np.roll(pullback(g)[0], (4, 3), (1, 2)))


# --- refusals ---------------------------------------------------------------------------------------------------------

# Four channels in two groups on either side, so that one table serves conv2d and its adjoint.
X, W, B = np.zeros((1, 5, 5, 4), np.float32), np.zeros((3, 3, 2, 4), np.float32), np.zeros(4, np.float32)

REFUSED = [
    ((X[0], W), {}, r"^x has shape \(5, 5, 4\): expected 4 axes \[N, H, W, C\]"),
    ((X, W[0]), {}, r"^w has shape \(3, 2, 4\): expected 4 axes"),
    ((X.tolist(), W), {}, r"^x is a list: expected an array"),
    ((X, W.tolist()), {}, r"^w is a list: expected an array"),
    ((X, W, B.tolist()), {}, r"^b is a list: expected an array"),
    ((X.astype(np.int32), W), {}, r"^x has dtype int32: expected a floating-point dtype"),
    ((X, W.astype(bool)), {}, r"^w has dtype bool: expected a floating-point dtype"),
    ((X.astype(np.complex64), W), {}, r"^x has dtype complex64: expected a floating-point dtype"),
    ((X.astype(np.float16), W), {}, r"different dtypes \(x float16, w float32\): expected one dtype"),
    ((X, W, B.astype(np.float16)), {}, r"different dtypes \(x float32, w float32, b float16\)"),
    ((X, W, B[:3]), {}, r"^b has shape \(3,\): expected \(4,\)"),
    ((X, W, B[:, None]), {}, r"^b has shape \(4, 1\): expected \(4,\)"),
    ((X, W), {"stride": 0}, r"^stride is 0: expected"),
    ((X, W), {"stride": (1, -1)}, r"^stride is \(1, -1\): expected"),
    ((X, W), {"stride": 1.5}, r"^stride is 1.5: expected"),
    ((X, W), {"stride": True}, r"^stride is True: expected"),
    ((X, W), {"dilation": 0}, r"^dilation is 0: expected"),
    ((X, W), {"dilation": (1, 2, 3)}, r"^dilation is \(1, 2, 3\): expected"),
    ((X, W), {"padding": "same"}, r"^padding is 'same': expected 'SAME', 'VALID'"),
    ((X, W), {"padding": None}, r"^padding is None: expected"),
    ((X, W[:0]), {}, r"^window is \(0, 3\): expected"),
    ((X, W), {"groups": 0}, r"^groups is 0: expected a positive divisor"),
    ((X, W), {"groups": -2}, r"^groups is -2: expected a positive divisor"),
    ((X, W), {"groups": 3}, r"^groups is 3: expected a positive divisor of the channels \(4"),
    ((X, W), {"groups": 2.0}, r"^groups is 2.0: expected a positive divisor"),
    ((X, W[:, :, :1]), {"groups": True}, r"^groups is True: expected a positive divisor"),
]


@pytest.mark.parametrize(("args", "settings", "match"), REFUSED)
@pytest.mark.parametrize("op", [conv2d, convolve2d, conv_transpose2d, conv2d.forward])
def test_refused(op, args, settings, match):
    with pytest.raises(ValueError, match=match):
        op(*args, **{"groups": 2} | settings)


@pytest.mark.parametrize(
    ("op", "args", "settings", "match"),
    [
        (conv2d, (X, W), {}, r"^x has 4 channels but w has shape \(3, 3, 2, 4\) with groups=1: expected 2 channels"),
        (conv2d, (X, W[..., :3]), {"groups": 2}, r"^groups is 2: expected a positive divisor of .* \(4, 3\)"),
        (conv_transpose2d, (X, W[..., :2]), {}, r"^x has 4 channels but w has shape .*: expected 2 channels"),
        (conv_transpose2d, (X, W, B), {}, r"^b has shape \(4,\): expected \(2,\)"),
        (conv2d, (X[:, :2], W), {"groups": 2, "padding": "VALID"}, r"^the output is empty: no window of 3 rows"),
        (conv2d, (X, W), {"groups": 2, "padding": -2}, r"^the output is empty: .* of 5 padded by \(-2, -2\)"),
        (conv_transpose2d, (X, W), {"padding": 4}, r"^the output is empty"),
        (conv_transpose2d, (X, W), {"stride": 2, "output_padding": 2}, r"^output_padding is 2: expected less than"),
        (conv_transpose2d, (X, W), {"stride": (3, 2), "output_padding": (1, 2)}, r"^output_padding is \(1, 2\)"),
        (conv_transpose2d, (X, W), {"output_padding": -1}, r"^output_padding is -1: expected .* at least 0"),
    ],
)  # fmt: skip
def test_refused_by_one(op, args, settings, match):
    with pytest.raises(ValueError, match=match):
        op(*args, **settings)


def test_refused_while_tracing():
    with pytest.raises(ValueError, match=r"^stride is 0"):
        jax.eval_shape(lambda x, w: conv2d(x, w, stride=0, groups=2), X, W)


def test_numpy_integers_are_integers():
    assert conv2d(X, W, stride=np.int64(2), padding=np.int64(1), dilation=np.int32(1), groups=np.int64(2)).shape[1] == 3
