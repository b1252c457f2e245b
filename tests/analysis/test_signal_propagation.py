"""Variances through a stack, where they are known."""

import jax.numpy as jnp
import numpy as np

from convnet.analysis.signal_propagation import factor_per_layer, variances_through


def identity(x):
    return x


def test_matrices_that_scale_multiply_the_variance_by_their_square(rng):
    x, g = (rng.normal(size=(8, 5)).astype(np.float32) for _ in range(2))
    weights = jnp.stack([scale * jnp.eye(5) for scale in (2.0, 0.5, 3.0)])
    forward, backward = variances_through(weights, identity, x, g)
    np.testing.assert_allclose(forward, x.var() * np.array([4, 1, 9]), rtol=1e-5)
    np.testing.assert_allclose(backward, g.var() * np.array([2.25, 9, 1]), rtol=1e-5)


def test_a_gradient_goes_through_the_activations_slope(rng):
    x, g = (rng.normal(size=(8, 5)).astype(np.float32) for _ in range(2))
    forward, backward = variances_through(jnp.eye(5)[None], jnp.tanh, x, g)
    np.testing.assert_allclose(forward, [np.tanh(x).var()], rtol=1e-5)
    np.testing.assert_allclose(backward, [(g * (1 - np.tanh(x) ** 2)).var()], rtol=1e-5)


def test_the_factor_of_a_layer_is_the_geometric_mean_in_the_direction_of_the_signal():
    variances = np.array([[1.0, 2.0, 4.0], [8.0, 4.0, 2.0]])
    np.testing.assert_allclose(factor_per_layer(variances), [2, 0.5])
    np.testing.assert_allclose(factor_per_layer(variances, backward=True), [0.5, 2])
