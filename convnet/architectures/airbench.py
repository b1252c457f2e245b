"""The network of the CIFAR-10 speed race.

Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.architectures.base import Architecture
from convnet.architectures.layers import Activation, BatchNorm, Conv, Dense, Flatten, Function, Layer, Pool
from convnet.settings import require

SIDE = 2
"""Of the kernels that whiten."""
HEAD = 1 / 256
"""Deviation of the initial weights of the logits, small beside those of convolutions."""


@dataclass(frozen=True)
class Airbench(Architecture):
    """Whitened patches, three groups of two 3×3 convolutions, the largest value of each map. 1,971,352 trained
    parameters for 10 classes of colour images of 32 pixels a side, and 288 that are not trained: the whitening kernel.
    """

    name: Literal["airbench"] = "airbench"
    initializer: str = "partial_dirac"
    widths: tuple[int, ...] | None = None
    """Channels of each group. None: 64, 256, 256."""
    whiten: bool = True
    """The first layer's kernels are the directions of the training images' 2×2 patches, scaled to equal variance, and
    stay as they are; only its biases are trained. Without: kernels of the same size, trained like all others."""
    activation: Function = "gelu"
    batch_momentum: float = 0.6
    """What of the running statistics stays at each step."""

    def check(self) -> None:
        fits = self.widths is None or (len(self.widths) > 0 and min(self.widths) > 0)
        require(fits, "model.widths", self.widths, "one positive width or more")
        require(0 <= self.batch_momentum < 1, "model.batch_momentum", self.batch_momentum, "a number in [0, 1)")

    @property
    def whitening_side(self) -> int:
        return SIDE if self.whiten else 0

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        height, width, channels = image_shape
        first = Conv("whiten", 2 * SIDE * SIDE * channels, SIDE, padding="VALID", frozen=self.whiten)
        found: list[Layer] = [first, Activation(f"whiten_{self.activation}", self.activation)]
        sides = [height - SIDE + 1, width - SIDE + 1]
        for number, features in enumerate(self.widths or (64, 256, 256), start=1):
            found += [*self._unit(2 * number - 1, features, pooled=True), *self._unit(2 * number, features)]
            sides = [side // 2 for side in sides]
        rest = Pool("pool_all", "max", tuple(max(side, 1) for side in sides))
        return (*found, rest, Flatten(), Dense("logits", num_classes, False, "normal", HEAD))

    def _unit(self, number: int, features: int, *, pooled: bool = False) -> tuple[Layer, ...]:
        name = f"conv{number}"
        return (
            Conv(name, features, bias=False),
            *((Pool(f"pool{number}"),) if pooled else ()),
            BatchNorm(f"{name}_norm", self.batch_momentum, use_scale=False),
            Activation(f"{name}_{self.activation}", self.activation),
        )
