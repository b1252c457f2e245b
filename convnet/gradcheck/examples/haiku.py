"""Haiku: a function is transformed into a pair, one that makes parameters and one that uses them.

convnet-audit convnet.gradcheck.examples.haiku:loss
    --args "convnet.gradcheck.examples.haiku:parameters()" "f32[6,4]" "i32[6] in 0..2"
"""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax

from convnet.gradcheck import assert_gradients

classifier = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP((5, 3), activation=jax.nn.gelu)(x)))


def parameters():
    return classifier.init(jax.random.key(0), jnp.zeros((1, 4)))


def loss(params, x, labels):
    return optax.softmax_cross_entropy_with_integer_labels(classifier.apply(params, x), labels).mean()


def test_gradients():
    rng = np.random.default_rng(0)
    assert_gradients(loss, (parameters(), rng.standard_normal((6, 4)), rng.integers(0, 3, 6)))
