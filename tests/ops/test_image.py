"""Total variation and the Gram matrix: against the oracles, the difference operator, flat regions, refusals."""

import math
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.gradcheck.evidence import EVIDENCE
from convnet.ops import gram_matrix, total_variation
from convnet.ops.image import difference_adjoint_p, difference_p
from tests.ops.references import UNIT

OPS = {"total_variation": total_variation, "gram_matrix": gram_matrix}
FORWARD = {"total_variation": total_variation.forward, "gram_matrix": gram_matrix.forward}
VARIATIONS = [total_variation, total_variation.forward]
CASES = [  # op, shape, settings
    ("total_variation", (2, 3, 4, 2), {"beta": 1.0, "eps": 0.1}),
    ("total_variation", (1, 4, 3, 2), {}),
    ("total_variation", (2, 3, 3, 1), {"beta": 1.5, "eps": 1e-3}),
    ("total_variation", (1, 3, 2, 2), {"beta": 3, "eps": 0.5}),
    ("total_variation", (1, 3, 4, 1), {"beta": 0.7, "eps": 0}),
    ("total_variation", (2, 1, 4, 2), {"beta": 1.2, "eps": 0.1}),
    ("total_variation", (2, 4, 1, 2), {"beta": 4, "eps": 0.1}),
    ("total_variation", (3, 1, 1, 2), {"eps": 0.1}),
    ("gram_matrix", (2, 3, 4, 3), {}),
    ("gram_matrix", (1, 1, 1, 4), {}),
    ("gram_matrix", (3, 2, 3, 1), {}),
]


@cache
def compiled(op, settings):
    def run(x, g):
        y, pullback = jax.vjp(lambda x: op(x, **dict(settings)), x)
        return y, pullback(g)[0]

    return jax.jit(run)


def value_and_gradient(op, x, g=None, **settings):
    """g is 1 by default."""
    g = jnp.ones(jax.eval_shape(partial(op, **settings), x).shape, x.dtype) if g is None else g
    return compiled(op, tuple(settings.items()))(x, g)


def draw(rng, name, shape, dtype="float64"):
    x = jnp.asarray(rng.normal(size=shape), dtype)
    return x, jnp.asarray(rng.normal(size=jax.eval_shape(OPS[name], x).shape), dtype)


@pytest.mark.parametrize(("name", "shape", "settings"), CASES)
def test_against_the_oracle(name, shape, settings, rng, x64):
    x, g = map(np.asarray, draw(rng, name, shape))
    value = EVIDENCE[name].oracle.value(x, **settings)
    # At its last pixel an image has m = 0, where the definition is not analytic.
    smooth = settings | {"eps": 1e-30} if settings.get("eps") == 0 else settings
    (slope,) = EVIDENCE[name].oracle.gradient(g, x, **smooth)

    @jax.jit
    def by_hand_and_by_jax(x, g):
        return [value_and_gradient(op, x, g, **settings) for op in (OPS[name], FORWARD[name])]

    for y, dx in by_hand_and_by_jax(x, g):
        np.testing.assert_allclose(y, value, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(dx, slope, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "shape", "settings"), [CASES[0], CASES[8]])
def test_low_precision(name, shape, settings, dtype, rng, x64):
    """bfloat16 as if it were float32, and then one rounding."""
    x, g = draw(rng, name, shape, dtype)
    actual = value_and_gradient(OPS[name], x, g, **settings)
    x, g = np.asarray(x, np.float64), np.asarray(g, np.float64)
    expected = EVIDENCE[name].oracle.value(x, **settings), *EVIDENCE[name].oracle.gradient(g, x, **settings)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == dtype
        rounding = UNIT["bfloat16"] * np.abs(other) if dtype == "bfloat16" else 0
        error = np.abs(np.asarray(one, np.float64) - other)
        assert (error <= rounding + 16 * UNIT["float32"] * np.abs(other).max()).all()


def test_float16_does_not_overflow_on_the_way():
    """The sum over pixels is 160000, more than a float16 can hold, their mean is not; and so for the differences."""
    gram, variation = jax.jit(lambda f, x: (gram_matrix(f), total_variation(x, beta=1.0)))(
        np.full((1, 40, 1, 1), 64, np.float16), np.array([0, 300], np.float16).reshape(1, 1, 2, 1)
    )
    np.testing.assert_array_equal(gram, 4096)
    np.testing.assert_array_equal(variation, 300)


# --- the difference operator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_difference_and_its_adjoint(axis, length, rng, x64):
    """As matrices one is the transpose of the other, both for what they compute and for how they are differentiated."""
    shape = (2, length, 3, 2) if axis == 1 else (2, 3, length, 2)
    x, g = rng.normal(size=(2, *shape))
    expected = np.zeros(shape)
    for i in np.ndindex(shape):
        after = tuple(v + (k == axis) for k, v in enumerate(i))
        expected[i] = x[after] - x[i] if after[axis] < length else 0
    d, adjoint = partial(difference_p.bind, axis=axis), partial(difference_adjoint_p.bind, axis=axis)
    np.testing.assert_array_equal(d(x), expected)

    @jax.jit
    def matrices():
        basis = jnp.eye(length)[:, None, :, None, None] if axis == 1 else jnp.eye(length)[:, None, None, :, None]
        return [jax.vmap(f)(basis).reshape(length, length) for f in (d, adjoint)]

    matrix, transpose = map(np.asarray, matrices())
    np.testing.assert_array_equal(matrix, transpose.T)
    np.testing.assert_array_equal(jax.vjp(d, x)[1](g)[0], adjoint(g))
    np.testing.assert_array_equal(jax.vjp(adjoint, x)[1](g)[0], d(g))
    np.testing.assert_array_equal(jax.jvp(d, (x,), (g,))[1], d(g))
    np.testing.assert_allclose(np.vdot(d(x), g), np.vdot(x, adjoint(g)), rtol=1e-13, atol=1e-14)


# --- total variation --------------------------------------------------------------------------------------------------


def test_by_hand(x64):
    """Differences 3 down and 4 to the right at the first pixel, 4 − 3 … at its neighbours, none at the last."""
    x = np.array([[0.0, 4.0], [3.0, 3.0]]).reshape(1, 2, 2, 1)
    y, dx = value_and_gradient(total_variation, x, beta=1.0, eps=0.0)
    np.testing.assert_allclose(y, [5 + 1 + 0 + 0], rtol=1e-15)
    np.testing.assert_allclose(dx[0, :, :, 0], [[-7 / 5, 4 / 5 + 1], [3 / 5, -1]], rtol=1e-14)
    y, dx = value_and_gradient(total_variation, x, beta=2.0, eps=0.0)
    np.testing.assert_allclose(y, [25 + 1], rtol=1e-15)
    np.testing.assert_allclose(dx[0, :, :, 0], [[-14, 10], [6, -2]], rtol=1e-14)


def test_invariances(rng, x64):
    """Brightness does not matter, so the gradient sums to 0; rows and columns may change places; channels add up."""
    x = rng.normal(size=(2, 4, 3, 2))
    settings = {"beta": 1.3, "eps": 0.05}
    y, dx = value_and_gradient(total_variation, x, **settings)
    np.testing.assert_allclose(np.sum(dx, axis=(1, 2)), 0, atol=1e-14)

    @jax.jit
    def others(x):
        f = partial(total_variation, **settings)
        by_channel = sum(f(x[..., c, None]) for c in range(2))
        return f(x + 7), f(x.swapaxes(1, 2)), by_channel, total_variation(3 * x, beta=1.3, eps=9 * 0.05) / 3**1.3

    for other in others(x):
        np.testing.assert_allclose(other, y, rtol=1e-13)


@pytest.mark.parametrize("op", VARIATIONS)
@pytest.mark.parametrize("beta", [0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
def test_flat_regions(op, beta, x64):
    """A kink at β ≤ 1, declared to have slope 0; smooth with ε."""
    x = np.ones((1, 3, 4, 2))
    y, dx = value_and_gradient(op, x, beta=beta, eps=0.0)
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_array_equal(dx, 0)
    y, dx = value_and_gradient(op, x, beta=beta, eps=0.25)
    np.testing.assert_allclose(y, 24 * 0.5**beta, rtol=1e-14)
    np.testing.assert_array_equal(dx, 0)
    x[0, 1, 2, 0] = 3.0  # an edge within flat surroundings
    assert np.isfinite(value_and_gradient(op, x, beta=beta, eps=0.0)[1]).all()


BENDS = {1.0: 0, 1.5: 0, 2.0: 2, 3.0: 0, 4.0: 0}


@cache
def hessians_of_flat_regions(op):
    """For each β of BENDS: forward over reverse, and reverse over reverse."""
    functions = [lambda x, beta=beta: op(x.reshape(1, 1, 2, 1), beta=beta, eps=0.0)[0] for beta in BENDS]
    hessians = jax.jit(lambda x: [(jax.hessian(f)(x), jax.jacrev(jax.jacrev(f))(x)) for f in functions])(np.ones(2))
    return dict(zip(BENDS, hessians, strict=True))


@pytest.mark.parametrize("op", VARIATIONS)
@pytest.mark.parametrize(("beta", "bend"), BENDS.items())
def test_second_derivative_in_flat_regions(op, beta, bend, x64):
    """|d|^β bends by β(β − 1)|d|^(β−2): 2 for β = 2, where d = 0 as well, and 0 above. Below, 0 by convention."""
    for hessian in hessians_of_flat_regions(op)[beta]:
        np.testing.assert_array_equal(hessian, bend * np.array([[1, -1], [-1, 1]]))


@pytest.mark.parametrize("op", VARIATIONS)
def test_extreme_images_give_no_nan(op, rng):
    for size in (1e30, 1e-30):
        x = jnp.asarray(rng.choice([size, -size, 0], size=(1, 3, 4, 2)), jnp.float32)
        for beta in (1.0, 2.0):
            y, dx = value_and_gradient(op, x, beta=beta)
            assert not np.isnan(y).any()
            assert not np.isnan(dx).any()


# --- Gram matrix ------------------------------------------------------------------------------------------------------


def test_gram_matrix_forgets_places(rng, x64):
    f = rng.normal(size=(2, 3, 4, 3))
    places = rng.permutation(f.reshape(2, 12, 3), axis=1).reshape(2, 4, 3, 3)
    run = jax.jit(lambda *images: [gram_matrix(f) for f in images])
    y, moved, tiled = map(np.asarray, run(f, places, 2 * np.tile(f, (1, 2, 1, 1))))
    np.testing.assert_allclose(y, y.swapaxes(1, 2), rtol=1e-13)
    assert (np.linalg.eigvalsh(y) > 0).all()
    np.testing.assert_allclose(moved, y, rtol=1e-13)
    np.testing.assert_allclose(tiled, 4 * y, rtol=1e-13)


def test_gradient_of_a_gram_matrix_sees_the_symmetric_part_of_g(rng, x64):
    f, g = map(np.asarray, draw(rng, "gram_matrix", (2, 3, 4, 3)))
    (_, dx), (_, swapped) = (value_and_gradient(gram_matrix, f, v) for v in (g, g.swapaxes(1, 2)))
    np.testing.assert_allclose(dx, swapped, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(dx, np.einsum("nhwc,ncd->nhwd", f, g + g.swapaxes(1, 2)) / 12, rtol=1e-12, atol=1e-15)
    # homogeneous of degree 2: ⟨f, dL/df⟩ = 2 ⟨g, G⟩
    np.testing.assert_allclose(np.vdot(f, dx), 2 * np.vdot(g, gram_matrix(f)), rtol=1e-12)


# --- refusals ---------------------------------------------------------------------------------------------------------

X = np.zeros((2, 3, 4, 2), np.float32)


@pytest.mark.parametrize("ops", [OPS, FORWARD], ids=["hand", "auto"])
@pytest.mark.parametrize(("name", "argument"), [("total_variation", "x"), ("gram_matrix", "f")])
@pytest.mark.parametrize(
    ("x", "match"),
    [
        (X[0], r"has shape \(3, 4, 2\): expected 4 axes \[N, H, W, C\]"),
        (X.tolist(), r"is a list: expected an array"),
        (X.astype(np.uint8), r"has dtype uint8: expected a floating-point dtype"),
        (X[:, :0], r"has shape \(2, 0, 4, 2\): expected at least one pixel"),
    ],
)
def test_refused(ops, name, argument, x, match):
    with pytest.raises(ValueError, match=f"^{argument} {match}"):
        ops[name](x)


@pytest.mark.parametrize("op", VARIATIONS)
@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"beta": 0}, r"^beta is 0: expected a finite number above 0"),
        ({"beta": math.inf}, r"^beta is inf: expected a finite number above 0"),
        ({"beta": None}, r"^beta is None: expected a finite number above 0"),
        ({"eps": -1e-9}, r"^eps is -1e-09: expected a finite number of at least 0"),
        ({"eps": math.nan}, r"^eps is nan: expected a finite number of at least 0"),
    ],
)
def test_total_variation_refuses(op, settings, match):
    with pytest.raises(ValueError, match=match):
        op(X, **settings)
