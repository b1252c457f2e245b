"""Equinox: a module is a pytree, with functions among its arrays.

convnet-audit convnet.gradcheck.examples.equinox:loss
    --args "convnet.gradcheck.examples.equinox:classifier()" "f32[6,4]" "i32[6] in 0..2"
"""

import equinox as eqx
import jax
import numpy as np
import optax

from convnet.gradcheck import assert_gradients


def classifier():
    """[4] -> logits [3], of one example."""
    return eqx.nn.MLP(4, 3, width_size=5, depth=1, activation=jax.nn.softplus, key=jax.random.key(0))


def loss(model, x, labels):
    return optax.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), labels).mean()


def test_gradients():
    rng = np.random.default_rng(0)
    assert_gradients(loss, (classifier(), rng.standard_normal((6, 4)), rng.integers(0, 3, 6)))
