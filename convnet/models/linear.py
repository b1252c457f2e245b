"""The linear classifier: one weight template per class."""

from __future__ import annotations

from flax import linen as nn
from jax import Array

from convnet.models.layers import Model, flatten


class Linear(Model):
    """logits = Wx + b; column k of W is the template of class k (it takes on an image's shape by W.reshape)."""

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """x: [N, H, W, C] -> [N, num_classes]."""
        return self.logits(flatten(x).astype(self.precision))
