"""The multi-layer perceptron: dense layers that know nothing of neighbouring pixels."""

from __future__ import annotations

from flax import linen as nn
from jax import Array

from convnet.models.layers import Model, flatten


class MLP(Model):
    """Hidden layers of `widths` units, each `depth` times, with an activation and dropout after each."""

    widths: tuple[int, ...] | None = None
    depth: int = 1

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """x: [N, H, W, C] -> [N, num_classes]."""
        x = flatten(x).astype(self.precision)
        widths = self.widths or (256,)
        for i, width in enumerate([width for width in widths for _ in range(self.depth)], start=1):
            x = self.activate(f"dense{i}", self.dense(f"dense{i}", x, width, biased=self.norm != "batch"), train)
            x = self.drop(x, train)
        return self.logits(x)
