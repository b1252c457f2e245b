"""Plain gradient descent against its closed form on a parabola."""

import jax
import jax.numpy as jnp
import numpy as np

from convnet.claims.descent import descend


def test_follows_the_closed_form_of_a_parabola():
    """Of L = c x² / 2 the parameter is multiplied by 1 − rate · c at each step."""
    end, path = descend(lambda p: jnp.sum(2.0 * p["x"] ** 2), {"x": jnp.array([1.0, -3.0])}, rate=0.1, steps=5,
                        note=lambda p: p["x"])  # fmt: skip
    np.testing.assert_allclose(path, [[0.6**t, -3 * 0.6**t] for t in range(5)], rtol=1e-6)
    np.testing.assert_allclose(end["x"], [0.6**5, -3 * 0.6**5], rtol=1e-6)


def test_many_starts_descend_in_one_program():
    run = jax.jit(jax.vmap(lambda start: descend(lambda p: (p - 1) ** 2, start, rate=0.5, steps=1)[0]))
    np.testing.assert_allclose(run(jnp.arange(3.0)), [1.0, 1.0, 1.0])
