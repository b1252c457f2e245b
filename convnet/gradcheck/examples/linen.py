"""Flax Linen: parameters are a dictionary beside the module.

convnet-audit convnet.gradcheck.examples.linen:loss
    --args "convnet.gradcheck.examples.linen:parameters()" "f32[6,4]" "i32[6] in 0..2"
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from convnet.gradcheck import assert_gradients


class Classifier(nn.Module):
    """[N, 4] -> logits [N, 3]."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.tanh(nn.LayerNorm()(nn.Dense(5)(x))))


def parameters():
    return Classifier().init(jax.random.key(0), jnp.zeros((1, 4)))


def loss(params, x, labels):
    return optax.softmax_cross_entropy_with_integer_labels(Classifier().apply(params, x), labels).mean()


def test_gradients():
    rng = np.random.default_rng(0)
    assert_gradients(loss, (parameters(), rng.standard_normal((6, 4)), rng.integers(0, 3, 6)))
