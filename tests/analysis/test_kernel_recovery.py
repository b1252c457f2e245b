"""Kernels are found from what they do."""

import jax
import jax.numpy as jnp
import numpy as np

from convnet.analysis.kernel_recovery import filtered, recover_kernels, together


def test_kernels_one_after_the_other_are_the_one_that_they_are_together(rng):
    images = rng.normal(size=(2, 8, 9)).astype(np.float32)
    one, two = np.array([[1, -1]], np.float32), np.array([[1], [2]], np.float32)
    np.testing.assert_array_equal(filtered(images, one), images[:, :, :-1] - images[:, :, 1:])
    np.testing.assert_allclose(together([one, two]), [[1, -1], [2, -2]])
    np.testing.assert_allclose(filtered(images, one, two), filtered(images, together([one, two])), atol=1e-5)


def test_every_start_finds_the_kernel(rng):
    images, target = rng.normal(size=(2, 8, 8)).astype(np.float32), jnp.array([[1.0, -1.0], [0.0, 0.5]])
    keys = jnp.stack([jax.random.key(seed) for seed in range(3)])
    (kernels,), errors = recover_kernels(jnp.asarray(images), [target], keys, steps=600)
    assert (kernels.shape, errors.shape) == ((3, 2, 2), (3, 600))
    np.testing.assert_allclose(kernels, np.broadcast_to(target, (3, 2, 2)), atol=1e-3)
    np.testing.assert_allclose(errors[:, -1], np.abs(kernels - target[None]).max(axis=(1, 2)), atol=1e-7)
    assert errors[:, 0].min() > 0.1
