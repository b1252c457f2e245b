"""A problem small enough for NumPy: 23 images of 6×4 in three classes, and states drawn without compiling anything."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convnet.train import TrainState

N, K = 23, 3
IMAGE = (6, 4, 1)


@pytest.fixture
def problem(rng):
    """uint8 images that carry their class, so that training gets somewhere, and labels."""
    labels = np.arange(N) % K
    bright = np.arange(IMAGE[0])[:, None, None] // 2 == labels[:, None, None, None]  # two rows for each class
    images = rng.integers(0, 120, (N, *IMAGE)) + 60 * bright
    return SimpleNamespace(
        n=N, classes=K, images=jnp.asarray(images, jnp.uint8), labels=jnp.asarray(labels, jnp.int32), image_shape=IMAGE
    )


@pytest.fixture
def random_state(rng):
    """(model, optimizer, key) -> the state before the first update, its parameters drawn by NumPy."""

    def draw(model, optimizer, key=None, scale=0.3):
        key = jax.random.key(0) if key is None else key
        shapes = jax.eval_shape(model.init, key, jax.ShapeDtypeStruct((1, *IMAGE), jnp.float32))["params"]
        params = jax.tree.map(lambda p: jnp.asarray(scale * rng.standard_normal(p.shape), p.dtype), shapes)
        return TrainState(params=params, opt_state=optimizer.init(params), step=jnp.zeros((), jnp.int32), key=key)

    return draw


@pytest.fixture
def prepare():
    """Pixels to [0, 1], no augmentation."""
    return lambda key, images: images.astype(jnp.float32) / 255
