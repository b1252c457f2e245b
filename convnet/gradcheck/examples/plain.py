"""Plain JAX: a loss with a gradient of its own, from logits and labels.

convnet-audit convnet.gradcheck.examples.plain:loss --args "f32[8,10]" "i32[8] in 0..9" --set gamma=2.0
"""

import jax
import jax.numpy as jnp
import numpy as np

from convnet.gradcheck import assert_gradients


@jax.custom_vjp
def log_softmax(logits):
    """[N, K] -> [N, K]: x − log Σ exp(x)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - jnp.log(jnp.exp(shifted).sum(axis=1, keepdims=True))


def forward(logits):
    value = log_softmax(logits)
    return value, value


def backward(value, g):
    return (g - jnp.exp(value) * g.sum(axis=1, keepdims=True),)


log_softmax.defvjp(forward, backward)


def loss(logits, labels, gamma=0.0):
    """The focal loss; with gamma 0, cross-entropy."""
    found = jnp.take_along_axis(log_softmax(logits), labels[:, None], axis=1)
    return -jnp.mean((1 - jnp.exp(found)) ** gamma * found)


def test_gradients():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((8, 10)), rng.integers(0, 10, 8)
    assert_gradients(log_softmax, (logits,), reference=jax.nn.log_softmax)
    assert_gradients(loss, (logits, labels), settings=dict(gamma=2.0))
