"""Losses: values and gradients against loops over classes, closed forms, kinks, extremes, refusals."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.ops import crammer_singer_hinge, softmax_cross_entropy, squared_error, weston_watkins_hinge
from tests.ops.references import UNIT, of_example

CLASSIFY = {
    "softmax": softmax_cross_entropy,
    "weston_watkins": weston_watkins_hinge,
    "crammer_singer": crammer_singer_hinge,
}
FORWARD = {name: op.forward for name, op in CLASSIFY.items()}
REFERENCE = {op: of_example(op.__name__) for op in CLASSIFY.values()}
HINGES = [form for op in (weston_watkins_hinge, crammer_singer_hinge) for form in (op, op.forward)]
SETTINGS = [
    ("softmax", {}),
    ("softmax", {"label_smoothing": 0.1}),
    ("softmax", {"label_smoothing": 0.75}),
    ("weston_watkins", {}),
    ("weston_watkins", {"margin": 0.25}),
    ("weston_watkins", {"margin": 5.0}),
    ("crammer_singer", {}),
    ("crammer_singer", {"margin": 0.25}),
    ("crammer_singer", {"margin": 0.0}),
    ("softmax", {"label_smoothing": 1.0}),
]
NARROW = ({"label_smoothing": 0.1}, {"margin": 0.25})
"""The settings that are tried in narrow dtypes, too."""
CASES = [(name, partial(REFERENCE[CLASSIFY[name]], **settings), settings) for name, settings in SETTINGS]


@cache
def compiled(loss, **settings):
    """(z, labels, g) -> value, dL/dz."""

    def run(z, labels, g):
        y, pullback = jax.vjp(lambda z: loss(z, labels, **settings), z)
        return y, pullback(g)[0]

    return jax.jit(run)


def value_and_gradient(loss, z, labels, g=None, **settings):
    """As float64 NumPy arrays, from a computation in the dtype of z; g is 1 by default."""
    z = jnp.asarray(z)
    actual = compiled(loss, **settings)(z, labels, jnp.ones(len(z), z.dtype) if g is None else g)
    assert {a.dtype for a in actual} == {z.dtype}
    return [np.asarray(a, np.float64) for a in actual]


@pytest.mark.parametrize(
    ("name", "reference", "settings", "dtype"),
    [(*case, "float64") for case in CASES]
    + [(*case, dtype) for case in CASES if case[2] in NARROW for dtype in ("float32", "bfloat16")],
)
def test_losses(name, reference, settings, dtype, rng, x64):
    """Judged on one scale per row, max|z| + margin: the losses add and subtract numbers of that size."""
    classes = 5
    z, labels = jnp.asarray(rng.normal(size=(12, classes)), dtype), rng.integers(classes, size=12)
    g = jnp.asarray(rng.normal(size=12), dtype)
    actual, slope = value_and_gradient(CLASSIFY[name], z, labels, g, **settings)
    z, g = np.asarray(z, np.float64), np.asarray(g, np.float64)[:, None]
    rows = [reference(row, label) for row, label in zip(z.tolist(), labels, strict=True)]
    scale = np.abs(z).max(1) + settings.get("margin", 1.0)
    assert (np.abs(actual - [value for value, _ in rows]) <= (classes + 8) * UNIT[dtype] * scale).all()
    expected = np.array([row for _, row in rows]) * g
    # the slopes of the hinges are whole numbers, and only their product with g is rounded
    bound = (classes + 8) * np.abs(g) if name == "softmax" else np.abs(expected)
    assert (np.abs(slope - expected) <= bound * UNIT[dtype]).all()


def test_two_classes(rng, x64):
    z, labels = rng.normal(size=(6, 2)), rng.integers(2, size=6)
    for name, reference, settings in CASES:
        expected = [reference(row, label) for row, label in zip(z.tolist(), labels, strict=True)]
        for actual, column in zip(value_and_gradient(CLASSIFY[name], z, labels, **settings), (0, 1), strict=True):
            np.testing.assert_allclose(actual, [row[column] for row in expected], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", CLASSIFY)
def test_rows_of_the_gradient_sum_to_zero(name, rng, x64):
    """The losses depend on differences of logits only."""
    z, labels = rng.normal(size=(50, 7)) * 3, rng.integers(7, size=50)
    np.testing.assert_allclose(value_and_gradient(CLASSIFY[name], z, labels)[1].sum(1), 0, atol=1e-15)


@pytest.mark.parametrize(("dtype", "shift"), [("float32", 2.0**24), ("bfloat16", 256.0)])
@pytest.mark.parametrize("loss", CLASSIFY.values(), ids=CLASSIFY)
def test_a_common_shift_changes_nothing(loss, dtype, shift):
    """The shifted logits lie 2 apart, and their differences are exact; what is added to a logit first is lost."""
    z, labels = jnp.asarray([[2, 2, 0], [0, 4, 2], [2, 6, 6]], dtype), jnp.array([0, 0, 1])
    for actual, expected in zip(
        value_and_gradient(loss, z + jnp.asarray(shift, dtype), labels),
        value_and_gradient(loss, z, labels),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected)


# --- softmax cross-entropy --------------------------------------------------------------------------------------------


def test_label_smoothing_in_closed_form(rng, x64):
    """L_ε = (1 − ε)·L(y) + ε·(mean over all classes k of L(k)), for value and gradient."""
    z, labels = rng.normal(size=(4, 5)), rng.integers(5, size=4)
    smoothed = value_and_gradient(softmax_cross_entropy, z, labels, label_smoothing=0.3)
    plain = value_and_gradient(softmax_cross_entropy, z, labels)
    each = [value_and_gradient(softmax_cross_entropy, z, np.full(4, k)) for k in range(5)]
    for actual, hard, of_classes in zip(smoothed, plain, zip(*each, strict=True), strict=True):
        np.testing.assert_allclose(actual, 0.7 * hard + 0.3 * np.mean(of_classes, axis=0), rtol=1e-13, atol=1e-15)


def test_smoothed_gradient_vanishes_where_p_is_the_target(x64):
    q = np.full(4, 0.05) + 0.8 * np.eye(4)[2]
    value, slope = value_and_gradient(softmax_cross_entropy, np.log(q)[None] + 3, np.array([2]), label_smoothing=0.2)
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    np.testing.assert_allclose(value, -np.sum(q * np.log(q)), rtol=1e-14)


@pytest.mark.parametrize("hessian", [jax.hessian, lambda f: jax.jacrev(jax.jacrev(f))])
def test_softmax_hessian_is_diag_p_minus_p_p(hessian, rng, x64):
    z = rng.normal(size=5)
    p = np.exp(z) / np.exp(z).sum()
    actual = jax.jit(hessian(lambda z: softmax_cross_entropy(z[None], np.array([1]), label_smoothing=0.3)[0]))(z)
    np.testing.assert_allclose(actual, np.diag(p) - np.outer(p, p), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_softmax_of_large_logits(dtype, smoothing, x64):
    """Any finite logits: no NaN; a sure and right answer costs 0; infinite only where the loss itself overflows."""
    largest, unit = float(jnp.finfo(dtype).max), UNIT[dtype]
    for size in (100.0, 1e4, largest / 4, largest):
        z = jnp.asarray([[size, -size, 0], [-size, size, 0], [size, size, -size], [-size, -size, -size]], dtype)
        labels = np.array([0, 0, 1, 2])
        compiled_value, slope = value_and_gradient(softmax_cross_entropy, z, labels, label_smoothing=smoothing)
        # op by op as well: compiled, a multiplication with a one-hot may become a choice, which hides 0·∞
        eager = np.asarray(softmax_cross_entropy(z, labels, label_smoothing=smoothing), np.float64)
        for value in (compiled_value, eager):
            assert not np.isnan(value).any()
            if smoothing == 0:
                np.testing.assert_allclose(value[[0, 2, 3]], [0, math.log(2), math.log(3)], rtol=4 * unit)
            if size < largest / 4:
                rows = zip(np.asarray(z, np.float64), labels, strict=True)
                exact = [np.logaddexp.reduce(a) - (1 - smoothing) * a[k] - smoothing * a.mean() for a, k in rows]
                np.testing.assert_allclose(value, exact, rtol=16 * unit, atol=16 * unit * size)
        p = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]])
        q = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        np.testing.assert_allclose(slope, p - q, atol=4 * unit)


# --- labels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*CLASSIFY.values(), *FORWARD.values()])
def test_label_out_of_range_gives_nan_and_leaves_other_rows_alone(loss, rng):
    z, kept = rng.normal(size=(5, 3)).astype(np.float32), [0, 3]
    good = value_and_gradient(loss, z, np.array([0, 1, 2, 0, 1], np.int32))
    bad = value_and_gradient(loss, z, np.array([0, -1, 3, 0, 100], np.int32))
    np.testing.assert_array_equal(np.isnan(bad[0]), [False, True, True, False, True])
    for one, other in zip(good, bad, strict=True):
        np.testing.assert_array_equal(one[kept], other[kept])


@pytest.mark.parametrize(("dtype", "classes"), [("int8", 300), ("uint8", 256)])
@pytest.mark.parametrize("loss", CLASSIFY.values(), ids=CLASSIFY)
def test_narrow_labels_know_all_classes(loss, dtype, classes, rng):
    """More classes than the labels' dtype can count: the labels that it can hold still mean what they say."""
    z, labels = rng.normal(size=(3, classes)), np.array([0, 44, 127], dtype)
    value, slope = value_and_gradient(loss, z.astype(np.float32), labels)
    rows = [REFERENCE[loss](row, label) for row, label in zip(z.tolist(), labels.tolist(), strict=True)]
    np.testing.assert_allclose(value, [row for row, _ in rows], rtol=1e-5)
    np.testing.assert_allclose(slope, [row for _, row in rows], atol=1e-5)


# --- hinges at their kinks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", HINGES)
def test_a_margin_met_exactly_costs_nothing_and_has_slope_zero(loss):
    z = np.array([[2, 1, 1], [0.5, 1.5, -1], [4, 1, 3], [2, 1, 0]], np.float32)
    for one in value_and_gradient(loss, z, np.array([0, 1, 0, 0])):
        np.testing.assert_array_equal(one, 0)
    for one in value_and_gradient(loss, np.ones_like(z), np.array([0, 1, 2, 0]), margin=0.0):
        np.testing.assert_array_equal(one, 0)


def test_conventions_among_rivals():
    z, labels = np.array([[3, 1, 3, 3], [3, 3, 1, 3]], np.float32), np.array([1, 0])
    value, slope = value_and_gradient(crammer_singer_hinge, z, labels)
    np.testing.assert_array_equal(value, [3, 1])
    np.testing.assert_array_equal(slope, [[1, -1, 0, 0], [-1, 1, 0, 0]])
    value, slope = value_and_gradient(weston_watkins_hinge, z, labels)
    np.testing.assert_array_equal(value, [9, 2])
    np.testing.assert_array_equal(slope, [[1, -3, 1, 1], [-2, 1, 0, 1]])


def test_hinges_of_large_logits():
    for size in (1e4, float(np.finfo(np.float32).max)):
        z = np.array([[size, -size, -size], [-size, size, 0.0]], np.float32)
        for loss, wrong in ((weston_watkins_hinge, [-2, 1, 1]), (crammer_singer_hinge, [-1, 1, 0])):
            value, slope = value_and_gradient(loss, z, np.array([0, 0]))
            assert value[0] == 0
            assert value[1] > size
            np.testing.assert_array_equal(slope, [[0, 0, 0], wrong])


# --- debugging --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "far"), [(jax.debug_nans, 3e38), (jax.debug_infs, 60.0)], ids=["nans", "infs"])
@pytest.mark.parametrize("loss", [*CLASSIFY.values(), *FORWARD.values()])
def test_what_is_not_used_is_not_made(loss, flag, far, rng):
    """Finite logits, the label's the largest in one row: also where log p of the others overflows."""
    z = jnp.asarray([[far, -far, 0.0], *rng.normal(size=(3, 3))], "float32")
    with flag(True):
        value, gradient = jax.value_and_grad(lambda z: loss(z, np.array([0, 0, 2, 1])).sum())(z)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [*CLASSIFY.values(), *FORWARD.values()])
def test_debugging_sees_the_nan_of_an_unknown_label(loss):
    with jax.debug_nans(True), pytest.raises(FloatingPointError, match="nan"):
        loss(jnp.zeros((2, 3)), jnp.array([0, 3]))


# --- squared error ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [squared_error, squared_error.forward])
@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 2, 2), (3, 0)])
def test_squared_error(loss, shape, rng, x64):
    a, t, g = rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=shape[0])
    y, da, dt = np.zeros(shape[0]), np.zeros(shape), np.zeros(shape)
    for index in np.ndindex(*shape):
        y[index[0]] += (a[index] - t[index]) ** 2
        da[index] += 2 * (a[index] - t[index]) * g[index[0]]
        dt[index] -= 2 * (a[index] - t[index]) * g[index[0]]

    @jax.jit
    def run(a, t, g):
        value, pullback = jax.vjp(loss, a, t)
        return value, *pullback(g)

    for one, expected in zip(run(a, t, g), (y, da, dt), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-14, atol=1e-15)


# --- refusals ---------------------------------------------------------------------------------------------------------

Z, Y = np.zeros((4, 3), np.float32), np.zeros(4, np.int32)


@pytest.mark.parametrize("loss", [*CLASSIFY.values(), *FORWARD.values()])
@pytest.mark.parametrize(
    ("z", "y", "match"),
    [
        (Z[0], Y, r"^logits has shape \(3,\): expected 2 axes \[N, K\]"),
        (Z[None], Y, r"^logits has shape \(1, 4, 3\): expected 2 axes"),
        (Z.tolist(), Y, r"^logits is a list: expected an array"),
        (Z.astype(np.int32), Y, r"^logits has dtype int32: expected a floating-point dtype"),
        (Z, Y.tolist(), r"^labels is a list: expected an array"),
        (Z, Y[:, None], r"^labels has shape \(4, 1\): expected 1 axes \[N\]"),
        (Z, Y[:3], r"^labels are int32 \(3,\): expected integers \(4,\), one per example"),
        (Z, Y.astype(np.float32), r"^labels are float32 \(4,\): expected integers"),
        (Z, Y > 0, r"^labels are bool \(4,\): expected integers"),
        (Z, np.eye(3, dtype=np.float32)[Y], r"^labels has shape \(4, 3\): expected 1 axes \[N\]"),
        (Z[:, :0], Y, r"^logits have shape \(4, 0\): expected at least [12] classes"),
    ],
)
def test_refused(loss, z, y, match):
    with pytest.raises(ValueError, match=match):
        loss(z, y)


@pytest.mark.parametrize("loss", [weston_watkins_hinge, crammer_singer_hinge])
def test_a_margin_needs_two_classes(loss):
    with pytest.raises(ValueError, match=r"^logits have shape \(4, 1\): expected at least 2 classes"):
        loss(Z[:, :1], Y)
    np.testing.assert_array_equal(softmax_cross_entropy(Z[:, :1], Y), 0)


@pytest.mark.parametrize("smoothing", [-0.1, 1.01, 2, math.nan])
@pytest.mark.parametrize("loss", [softmax_cross_entropy, softmax_cross_entropy.forward])
def test_smoothing_out_of_range_is_refused(loss, smoothing):
    with pytest.raises(ValueError, match=rf"^label_smoothing is {smoothing}: expected a number in \[0, 1\]"):
        loss(Z, Y, label_smoothing=smoothing)


@pytest.mark.parametrize("loss", [squared_error, squared_error.forward])
@pytest.mark.parametrize(
    ("pred", "target", "match"),
    [
        (Z, Z[:, :1], r"^pred has shape \(4, 3\), target \(4, 1\): expected the same"),
        (Z, Z[0], r"^pred has shape \(4, 3\), target \(3,\): expected the same"),
        (Z[0, 0], Z[0, 0], r"^pred has shape \(\), target \(\): expected the same, \[N"),
        (Z, Z.astype(np.float16), r"different dtypes \(pred float32, target float16\)"),
        (Z.astype(np.int32), Z, r"^pred has dtype int32: expected a floating-point dtype"),
        (Z, Z > 0, r"^target has dtype bool: expected a floating-point dtype"),
        (Z, Z.tolist(), r"^target is a list: expected an array"),
    ],
)
def test_squared_error_refuses(loss, pred, target, match):
    with pytest.raises(ValueError, match=match):
        loss(pred, target)
