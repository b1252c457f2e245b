"""The layers whose ops are timed, and what one timing of an op is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import ClassVar

import numpy as np

DRAWN = 2**20
"""Different values of an operand. More are these over again: drawing them would take longer than timing an op."""


@lru_cache(maxsize=3)
def draw(letter: str, shape: tuple[int, ...]) -> np.ndarray:
    """Normal values, float32, of the operand called `letter`: the same ones in all peers. Not to be written to."""
    values = np.random.default_rng(ord(letter)).standard_normal(min(prod(shape), DRAWN), np.float32)
    return np.resize(values, shape)


@dataclass(frozen=True)
class ConvLayer:
    """A convolution of `side`² images, padded by kernel // 2 on every side (in all peers alike)."""

    kernel: int
    channels: int
    filters: int
    side: int
    stride: int = 1
    groups: int = 1

    directions: ClassVar[tuple[str, ...]] = ("fwd", "dx", "dw")

    @property
    def label(self) -> str:
        depthwise = self.groups == self.channels > 1
        width = f"depthwise {self.channels}" if depthwise else f"{self.channels}→{self.filters}"
        stride = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}×{self.kernel} {width} at {self.side}²{stride}"

    @property
    def padding(self) -> int:
        return self.kernel // 2

    @property
    def output_side(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1

    def image_shape(self, batch: int) -> tuple[int, ...]:
        return batch, self.side, self.side, self.channels

    def kernel_shape(self) -> tuple[int, ...]:
        return self.kernel, self.kernel, self.channels // self.groups, self.filters

    def output_shape(self, batch: int) -> tuple[int, ...]:
        return batch, self.output_side, self.output_side, self.filters

    def flops(self, batch: int) -> int:
        """Two for each multiplication that the definition names, padding included; the same in each direction."""
        return 2 * batch * self.output_side**2 * self.filters * self.kernel**2 * self.channels // self.groups


@dataclass(frozen=True)
class PoolLayer:
    """Max pooling without padding. Its gradient needs the winners, so it is timed together with the forward.

    stride: None means the window, so that windows are disjoint.
    """

    window: int
    channels: int
    side: int
    stride: int | None = None

    directions: ClassVar[tuple[str, ...]] = ("fwd", "fwd + dx")

    @property
    def label(self) -> str:
        stride = f", stride {self.stride}" if self.stride else ""
        return f"max pool {self.window}×{self.window} {self.channels} at {self.side}²{stride}"

    @property
    def output_side(self) -> int:
        return (self.side - self.window) // (self.stride or self.window) + 1

    def image_shape(self, batch: int) -> tuple[int, ...]:
        return batch, self.side, self.side, self.channels

    def output_shape(self, batch: int) -> tuple[int, ...]:
        return batch, self.output_side, self.output_side, self.channels

    def flops(self, batch: int) -> int:
        """0: comparisons are no arithmetic to compare with a matrix product's."""
        del batch
        return 0


OpLayer = ConvLayer | PoolLayer

LAYERS: dict[str, OpLayer] = {
    "conv5-1-32-at-28": ConvLayer(5, 1, 32, 28),
    "conv5-32-64-at-14": ConvLayer(5, 32, 64, 14),
    "conv3-3-64-at-32": ConvLayer(3, 3, 64, 32),
    "conv3-64-64-at-32": ConvLayer(3, 64, 64, 32),
    "conv3-128-128-at-16": ConvLayer(3, 128, 128, 16),
    "conv3-256-256-at-8": ConvLayer(3, 256, 256, 8),
    "conv3-64-128-at-32-stride2": ConvLayer(3, 64, 128, 32, stride=2),
    "conv5-32-64-at-28-stride2": ConvLayer(5, 32, 64, 28, stride=2),
    "conv1-64-128-at-32-stride2": ConvLayer(1, 64, 128, 32, stride=2),
    "depthwise3-64-at-32": ConvLayer(3, 64, 64, 32, groups=64),
    "maxpool2-64-at-32": PoolLayer(2, 64, 32),
    "maxpool2-64-at-31": PoolLayer(2, 64, 31),
    "maxpool3-64-at-32-stride2": PoolLayer(3, 64, 32, stride=2),
}

QUICK_LAYERS: dict[str, OpLayer] = {
    "conv3-4-8-at-8-stride2": ConvLayer(3, 4, 8, 8, stride=2),
    "maxpool2-4-at-8": PoolLayer(2, 4, 8),
    "maxpool3-4-at-8-stride2": PoolLayer(3, 4, 8, stride=2),
}

PRECISIONS = {"float32": "float32", "tf32": "float32", "bfloat16": "bfloat16"}
"""Precision -> dtype of the operands. float32 multiplies them in full; tf32 lets an accelerator round the factors of a
product to 10 bits, as JAX does unless told otherwise, and is float32 where there is no such unit."""

CONTEXTS = ("once", "scan", "vmap")
"""How an op is reached: dispatched by itself, inside `lax.scan`, or mapped over replicates by `vmap`."""


@dataclass(frozen=True)
class OpTask:
    """One direction of one layer. `repeats`: steps of the scan, or replicates of the vmap; 1 for `once`."""

    layer: OpLayer
    direction: str
    context: str
    batch: int
    precision: str
    repeats: int

    @property
    def label(self) -> str:
        return f"{self.layer.label} {self.direction}, {self.context}"

    @property
    def dispatched(self) -> bool:
        """Whether it is one op, not a program of several."""
        return self.context == "once"

    @property
    def flops(self) -> int:
        """Of one application."""
        return self.layer.flops(self.batch)


@dataclass(frozen=True)
class GemmTask:
    """A square matrix product: the rate that everything else is held against."""

    size: int
    precision: str

    dispatched: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"matrix product of {self.size}², {self.precision}"

    @property
    def flops(self) -> int:
        return 2 * self.size**3


def tasks_of(layer: OpLayer, context: str, *, batch: int, precision: str, repeats: int) -> list[OpTask]:
    """All directions of `layer`."""
    repeats = 1 if context == "once" else repeats
    return [OpTask(layer, direction, context, batch, precision, repeats) for direction in layer.directions]
