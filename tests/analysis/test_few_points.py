"""What small networks can fit is what they fit."""

import jax.numpy as jnp

from convnet import HAND
from convnet.analysis.few_points import fitted_starts

CORNERS = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def test_or_is_linear_and_xor_is_not():
    activations, widths = [lambda x: x, HAND.tanh], (1, 8)
    found = {name: fitted_starts(CORNERS, jnp.array(labels), activations, widths, range(5), steps=1500)
             for name, labels in {"or": [0, 1, 1, 1], "xor": [0, 1, 1, 0]}.items()}  # fmt: skip
    assert found["xor"].shape == (2, 2, 5)
    assert found["or"].all()
    straight, bent = found["xor"]
    assert not straight.any()
    narrow, wide = bent
    assert not narrow.any()  # one unit that only rises tells no middle from both ends
    assert wide.all()
