"""Initial weights: moments and bounds in closed form, exact structure where there is some.

Statistical tolerance: with m independent draws the relative standard error of a sample variance is √((κ − 1) / m), with
a kurtosis κ of at most 3 for all distributions here. m is 64,000 or more, so that is at most 0.6 %, and 3 % are five
standard errors. The mean has standard error σ/√m, and five of them are allowed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet import initializers
from convnet.initializers import INITIALIZERS, build
from convnet.ops import conv2d

DENSE, CONV = (400, 200), (3, 5, 40, 110)
FANS = {DENSE: (400, 200), CONV: (3 * 5 * 40, 3 * 5 * 110)}
"""A convolution's unit sees KH·KW·C inputs, and each input feeds KH·KW·K of them."""
SHAPES = pytest.mark.parametrize("shape", [DENSE, CONV], ids=["dense", "conv"])
KEY = jax.random.key(3)

CUT = 0.8796256610342398
"""Standard deviation of a standard normal that is cut at ±2."""
VARIANCES = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}


def draw(name, shape=DENSE, scale=None, key=KEY, dtype=jnp.float32):
    return np.asarray(build(name, scale)(key, shape, dtype))


def check_moments(weights, variance):
    m = weights.size
    assert m >= 64_000
    assert abs(weights.mean(dtype=np.float64)) < 5 * np.sqrt(variance / m)
    np.testing.assert_allclose(weights.var(dtype=np.float64), variance, rtol=0.03)


@SHAPES
@pytest.mark.parametrize("gain", [None, 3.0])
@pytest.mark.parametrize("name", ["glorot_uniform", "he_uniform", "lecun_uniform"])
def test_scaled_uniform(name, gain, shape):
    weights = draw(name, shape, gain)
    variance = (gain or 1) ** 2 * VARIANCES[name.split("_")[0]](*FANS[shape])
    check_moments(weights, variance)
    bound = np.sqrt(3 * variance)
    assert 0.999 * bound < np.abs(weights).max() <= bound * (1 + 1e-6)


@SHAPES
@pytest.mark.parametrize("gain", [None, 3.0])
@pytest.mark.parametrize("name", ["glorot_normal", "he_normal", "lecun_normal"])
def test_scaled_normal(name, gain, shape):
    """JAX cuts these at two deviations and widens them so that the variance is that of the formula."""
    weights = draw(name, shape, gain)
    variance = (gain or 1) ** 2 * VARIANCES[name.split("_")[0]](*FANS[shape])
    check_moments(weights, variance)
    assert np.abs(weights).max() <= 2 * np.sqrt(variance) / CUT * (1 + 1e-6)


@pytest.mark.parametrize(
    ("name", "scale", "deviation", "bound"),
    [
        ("normal", None, 0.01, np.inf),
        ("normal", 0.5, 0.5, np.inf),
        ("truncated_normal", None, 0.01 * CUT, 0.02),
        ("truncated_normal", 0.5, 0.5 * CUT, 1.0),
        ("uniform", None, 0.05 / np.sqrt(3), 0.05),
        ("uniform", 2.0, 2.0 / np.sqrt(3), 2.0),
    ],
)
def test_plain_distributions(name, scale, deviation, bound):
    weights = draw(name, DENSE, scale)
    check_moments(weights, deviation**2)
    assert np.abs(weights).max() <= bound * (1 + 1e-6)
    if bound < np.inf:
        assert weights.min() < -0.99 * bound
        assert weights.max() > 0.99 * bound
    else:  # a normal has 4.55 % beyond two deviations, give or take 0.08 %
        assert 0.04 < np.mean(np.abs(weights) > 2 * deviation) < 0.05


@pytest.mark.parametrize(("scale", "value"), [(None, 0.01), (-2.5, -2.5), (0.0, 0.0)])
def test_constant(scale, value):
    np.testing.assert_array_equal(draw("constant", (2, 3), scale), np.full((2, 3), value, np.float32))


@pytest.mark.parametrize("scale", [None, 0.0, 7.0])
def test_zeros_stay_zero_whatever_the_scale(scale):
    np.testing.assert_array_equal(draw("zeros", (2, 3), scale), np.zeros((2, 3)))


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "normal", "orthogonal", "dirac"])
def test_scale_zero_is_a_scale(name):
    """0 is falsy; it must not be taken for "the usual one"."""
    np.testing.assert_array_equal(draw(name, (6, 5), 0.0), np.zeros((6, 5)))


@pytest.mark.parametrize("gain", [None, 1.5])
@pytest.mark.parametrize("shape", [(6, 5), (20, 40), (3, 3, 4, 20)], ids=str)
def test_orthogonal(shape, gain):
    """The smaller side is orthonormal (times the gain): WᵀW = γ²I or WWᵀ = γ²I, kernels as [KH·KW·C, K]."""
    w = draw("orthogonal", shape, gain).reshape(-1, shape[-1]).astype(np.float64)
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, (gain or 1) ** 2 * np.eye(len(gram)), atol=2e-5)


# --- dirac ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [2, 3, 4, (5, 1)], ids=str)
def test_dirac_is_the_identity_through_conv2d(side, rng):
    """Under SAME an even kernel has one tap less on the low side, so its centre is the tap before the middle."""
    x = rng.standard_normal((2, 6, 7, 3)).astype(np.float32)
    kh, kw = side if isinstance(side, tuple) else (side, side)
    y = conv2d(jnp.asarray(x), jnp.asarray(draw("dirac", (kh, kw, 3, 3))), padding="SAME")
    np.testing.assert_array_equal(y, x)


def test_dirac_reaches_as_far_as_the_channels_do(rng):
    x = rng.standard_normal((1, 4, 4, 3)).astype(np.float32)
    wide = conv2d(jnp.asarray(x), jnp.asarray(draw("dirac", (3, 3, 3, 5))))
    np.testing.assert_array_equal(wide, np.concatenate([x, np.zeros((1, 4, 4, 2))], axis=-1))
    narrow = conv2d(jnp.asarray(x), jnp.asarray(draw("dirac", (3, 3, 3, 2), 2.0)))
    np.testing.assert_array_equal(narrow, 2 * x[..., :2])


def test_dirac_of_a_dense_layer_is_the_identity_matrix():
    np.testing.assert_array_equal(draw("dirac", (3, 3)), np.eye(3))


# --- what all have in common ------------------------------------------------------------------------------------------

RANDOM = sorted(set(INITIALIZERS) - {"zeros", "constant", "dirac"})


# XLA has no QR decomposition in bfloat16; the models store their parameters in float32 or float64.
DTYPES = [
    (name, dtype)
    for name in sorted(INITIALIZERS)
    for dtype in ("float32", "bfloat16", "float64")
    if (name, dtype) != ("orthogonal", "bfloat16")
]


@pytest.mark.parametrize(("name", "dtype"), DTYPES)
def test_shape_and_dtype(name, dtype, x64):
    """By shape evaluation, which compiles nothing."""
    for shape in ((6, 4), (3, 3, 2, 4)):
        got = jax.eval_shape(lambda key, shape=shape: build(name, 0.5)(key, shape, dtype), KEY)
        assert (got.shape, got.dtype) == (shape, dtype)


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_float32_is_the_default_dtype(name):
    assert jax.eval_shape(lambda key: build(name)(key, (4, 4)), KEY).dtype == jnp.float32


@pytest.mark.parametrize("name", RANDOM)
def test_the_key_decides(name):
    np.testing.assert_array_equal(draw(name, (6, 5)), draw(name, (6, 5)))
    assert not np.array_equal(draw(name, (6, 5)), draw(name, (6, 5), key=jax.random.key(4)))


@pytest.mark.parametrize("name", RANDOM)
def test_scale_is_linear(name):
    np.testing.assert_allclose(draw(name, (6, 5), 3.0), 3 * draw(name, (6, 5), 1.0), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(INITIALIZERS) - {"zeros"}))
def test_the_usual_scale_is_the_tables(name):
    np.testing.assert_array_equal(draw(name, (6, 5)), draw(name, (6, 5), INITIALIZERS[name][1]))


def test_glorot_uniform_is_the_default():
    np.testing.assert_array_equal(build()(KEY, (6, 5)), draw("glorot_uniform", (6, 5)))


@pytest.mark.parametrize("name", ["xavier", "", "Zeros"])
def test_an_unknown_name_lists_the_known_ones(name):
    known = ", ".join(INITIALIZERS)
    with pytest.raises(ValueError, match=rf"^initializer is {name!r}: expected one of {known}$"):
        initializers.build(name)
