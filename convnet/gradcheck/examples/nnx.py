"""Flax NNX: the module holds its parameters, and is itself the argument.

convnet-audit convnet.gradcheck.examples.nnx:loss
    --args "convnet.gradcheck.examples.nnx:classifier()" "f32[6,4]" "i32[6] in 0..2"
"""

import jax
import numpy as np
import optax
from flax import nnx

from convnet.gradcheck import assert_gradients


class Classifier(nnx.Module):
    """[N, 4] -> logits [N, 3]."""

    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(4, 5, rngs=rngs)
        self.out = nnx.Linear(5, 3, rngs=rngs)
        self.activation = jax.nn.silu

    def __call__(self, x):
        return self.out(self.activation(self.hidden(x)))


def classifier():
    return Classifier(nnx.Rngs(0))


def loss(model, x, labels):
    return optax.softmax_cross_entropy_with_integer_labels(model(x), labels).mean()


def test_gradients():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((6, 4)), rng.integers(0, 3, 6)
    assert_gradients(loss, (classifier(), x, labels))
    structure, state = nnx.split(classifier())  # or the arrays alone
    assert_gradients(lambda state: loss(nnx.merge(structure, state), x, labels), (state,), level="quick")
