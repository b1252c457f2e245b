"""The convolutional network in the manner of LeNet (LeCun et al., 1998): stages of convolutions that halve the map."""

from __future__ import annotations

from flax import linen as nn
from jax import Array

from convnet.models.layers import Model, flatten


def default_widths(side: int) -> tuple[int, ...]:
    """32, 64, … channels: as many stages as bring an image of `side` pixels down to a map of 4 to 7."""
    stages = 1
    while side // 2**stages > 7:
        stages += 1
    return tuple(32 * 2**stage for stage in range(stages))


class CNN(Model):
    """Stages of `depth` convolutions and one pooling each, `widths` channels; then a head and the logits."""

    widths: tuple[int, ...] | None = None
    depth: int = 1
    kernel: int = 3
    first_kernel: int | None = None
    stride: int = 1
    pool: str = "max"
    head: str = "dense"
    head_width: int = 128

    @nn.compact
    def __call__(self, x: Array, *, train: bool = False) -> Array:
        """x: [N, H, W, C] -> [N, num_classes]."""
        x = x.astype(self.precision)
        widths, layer = self.widths or default_widths(min(x.shape[1:3])), 0
        for stage, width in enumerate(widths, start=1):
            for last in [False] * (self.depth - 1) + [True]:
                layer += 1
                side = (self.first_kernel or self.kernel) if layer == 1 else self.kernel
                stride = (self.stride if layer == 1 else 1) * (2 if last and self.pool == "stride" else 1)
                name, biased = f"conv{layer}", self.norm != "batch"
                x = self.activate(name, self.conv(name, x, width, side, stride, biased=biased), train)
            if self.pool in ("max", "avg"):
                pool = self.ops.max_pool if self.pool == "max" else self.ops.avg_pool
                x = self.show(f"pool{stage}", pool(x, 2))
        return self.logits(self.drop(self._features(x, train), train))

    def _features(self, x: Array, train: bool) -> Array:
        """The last map [N, H, W, C] as features [N, D]."""
        if self.head == "global_avg":
            return self.show("global_avg", self.ops.global_avg_pool(x))
        x = flatten(x)
        if not self.head_width:
            return x
        x = self.dense("dense1", self.drop(x, train), self.head_width, biased=self.norm != "batch")
        return self.activate("dense1", x, train)
