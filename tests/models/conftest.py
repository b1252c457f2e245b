"""What the tests of models share."""

import jax
import jax.numpy as jnp
import pytest


@pytest.fixture
def random_variables(rng):
    """(model, images) -> variables drawn by NumPy: compiling JAX's random numbers would take most of these tests' time.

    No bias is zero, or a unit that no input reaches would sit exactly on its kink.
    """

    def draw(model, images):
        shapes = jax.eval_shape(model.init, jax.random.key(0), images)
        return jax.tree.map(lambda p: jnp.asarray(0.3 * rng.standard_normal(p.shape), p.dtype), shapes)

    return draw
