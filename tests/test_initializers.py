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


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "normal", "orthogonal", "dirac", "partial_dirac"])
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


# --- partial dirac ----------------------------------------------------------------------------------------------------


def test_partial_dirac_hands_the_inputs_on_beside_other_outputs(rng):
    x = rng.standard_normal((1, 5, 4, 3)).astype(np.float32)
    y = conv2d(jnp.asarray(x), jnp.asarray(draw("partial_dirac", (3, 3, 3, 7))))
    np.testing.assert_array_equal(y[..., :3], x)
    assert np.abs(y[..., 3:]).min() > 0


@pytest.mark.parametrize("gain", [None, 1.5])
def test_partial_dirac_draws_the_rest_as_torch_starts(gain):
    """Uniform in ±1/√fan_in, of variance 1 / (3 fan_in); a gain is one of the whole kernel."""
    weights, fan_in = draw("partial_dirac", (3, 5, 40, 150), gain), 3 * 5 * 40
    rest, gain = weights[..., 40:], gain or 1
    check_moments(rest, gain**2 / (3 * fan_in))
    assert 0.999 * gain / np.sqrt(fan_in) < np.abs(rest).max() <= gain / np.sqrt(fan_in) * (1 + 1e-6)
    np.testing.assert_array_equal(weights[..., :40], draw("dirac", (3, 5, 40, 40), gain))


def test_partial_dirac_to_fewer_outputs_is_dirac():
    np.testing.assert_array_equal(draw("partial_dirac", (3, 3, 6, 4)), draw("dirac", (3, 3, 6, 4)))


# --- whitening --------------------------------------------------------------------------------------------------------


def patches(rng, n=4000):
    """[n, 8] of 2×2 pixels and two channels, each of them much like the others."""
    return rng.standard_normal((n, 8)) @ rng.standard_normal((8, 8)) + 3 * rng.standard_normal((n, 1))


def test_whitened_patches_have_no_correlations_and_deviation_1(rng):
    p = patches(rng)
    kernel = np.asarray(initializers.whitening(p.T @ p / len(p), (2, 2, 2)))
    assert (kernel.shape, kernel.dtype) == ((2, 2, 2, 16), np.float32)
    found = conv2d(jnp.asarray(p.reshape(-1, 2, 2, 2), jnp.float32), jnp.asarray(kernel), padding="VALID")
    found = np.asarray(found, np.float64).reshape(len(p), 16)
    np.testing.assert_array_equal(kernel[..., 8:], -kernel[..., :8])
    np.testing.assert_allclose(found[:, :8].T @ found[:, :8] / len(p), np.eye(8), atol=0.01)


def test_the_directions_come_from_the_largest_variance_to_the_least_each_with_its_sign(rng):
    p = patches(rng)
    filters = np.asarray(initializers.whitening(p.T @ p / len(p), (2, 2, 2)), np.float64).reshape(8, 16)[:, :8]
    lengths = np.linalg.norm(filters, axis=0)
    assert (np.diff(lengths) > 0).all()  # a filter is as long as its direction's deviation is small
    assert (filters[np.abs(filters).argmax(axis=0), np.arange(8)] > 0).all()
    values, vectors = np.linalg.eigh(p.T @ p / len(p))
    np.testing.assert_allclose(lengths, (values[::-1] + 5e-4) ** -0.5, rtol=1e-4)
    np.testing.assert_allclose(np.abs(vectors.T[::-1] @ (filters / lengths)), np.eye(8), atol=1e-3)


def test_a_direction_without_variance_is_not_blown_up():
    """Patches that are all black, and such of which one direction says nothing."""
    black = np.asarray(initializers.whitening(np.zeros((4, 4)), (2, 2, 1)))
    np.testing.assert_allclose(np.abs(black).max(), 5e-4**-0.5, rtol=1e-5)
    flat = np.asarray(initializers.whitening(np.ones((4, 4)), (2, 2, 1), eps=0.01), np.float64).reshape(4, 8)
    np.testing.assert_allclose(flat[:, 0], np.full(4, 0.5 / np.sqrt(4.01)), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(flat[:, 1:4], axis=0), 10, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (16,)])
def test_a_moment_of_other_patches_is_refused(shape):
    with pytest.raises(ValueError, match=rf"^moment has shape \({shape[0]},.*\): expected \[D, D\] with D = 4$"):
        initializers.whitening(np.zeros(shape), (2, 2, 1))


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
    np.testing.assert_array_equal(draw(name, (5, 6)), draw(name, (5, 6)))
    assert not np.array_equal(draw(name, (5, 6)), draw(name, (5, 6), key=jax.random.key(4)))


@pytest.mark.parametrize("name", RANDOM)
def test_scale_is_linear(name):
    np.testing.assert_allclose(draw(name, (5, 6), 3.0), 3 * draw(name, (5, 6), 1.0), rtol=1e-6)


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
