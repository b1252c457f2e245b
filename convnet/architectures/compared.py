"""The three families that the comparison is about: linear, multi-layer perceptron, CNN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.architectures.base import Architecture, at_least, check_rate
from convnet.architectures.layers import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Function,
    GlobalAvgPool,
    Layer,
    LocalResponseNorm,
    Pool,
    activated,
)
from convnet.settings import require


@dataclass(frozen=True)
class Linear(Architecture):
    """logits = Wx + b; column k of W is the template of class k (it takes on an image's shape by W.reshape)."""

    name: Literal["linear"] = "linear"

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        return (Flatten(), Dense("logits", num_classes))


@dataclass(frozen=True)
class MLP(Architecture):
    """The multi-layer perceptron: dense layers that know nothing of neighbouring pixels."""

    name: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] | None = None
    """Units of each hidden layer. None: 256."""
    depth: int = 1
    """Layers per entry of `widths`."""
    activation: Function = "relu"
    norm: Literal["none", "batch", "layer"] = "none"
    """Normalisation before each activation."""
    dropout: float = 0.0
    """Probability of dropping an activation before each dense layer that does not read the image itself."""

    def check(self) -> None:
        _check_widths(self.widths)
        at_least(self, 1, "depth")
        check_rate(self.dropout)

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        found: list[Layer] = [Flatten()]
        units = [width for width in self.widths or (256,) for _ in range(self.depth)]
        for i, width in enumerate(units, start=1):
            dense = Dense(f"dense{i}", width, bias=self.norm != "batch")
            found += [*activated(dense, self.activation, self.norm), Dropout(self.dropout)]
        return (*found, Dense("logits", num_classes))


@dataclass(frozen=True)
class CNN(Architecture):
    """Stages of convolutions that halve the map, in the manner of LeNet (LeCun et al., 1998); then a head."""

    name: Literal["cnn"] = "cnn"
    widths: tuple[int, ...] | None = None
    """Channels of each stage. None: 32, 64, …, as many as bring the image down to a map of 4 to 7 pixels."""
    depth: int = 1
    """Convolutions per stage."""
    kernel: int = 3
    """Side of the convolution kernels."""
    first_kernel: int | None = None
    """Side of the first layer's kernels, where it differs."""
    stride: int = 1
    """Stride of the first convolution."""
    pool: Literal["max", "avg", "stride", "none"] = "max"
    """How a stage halves its map: max or average pooling, a convolution of stride 2, or not at all."""
    activation: Function = "relu"
    norm: Literal["none", "batch", "layer", "local_response"] = "none"
    """Batch or layer normalisation before each activation, or local response normalisation after that of each
    convolution (across channels)."""
    dropout: float = 0.0
    """Probability of dropping an activation before each dense layer."""
    head: Literal["dense", "global_avg"] = "dense"
    """What turns the last map into features: a hidden dense layer, or the mean over all pixels."""
    head_width: int = 128
    """Units of the dense head's hidden layer; 0 for none."""

    def check(self) -> None:
        _check_widths(self.widths)
        at_least(self, 1, "depth", "kernel", "stride")
        first = self.first_kernel
        require(first is None or first >= 1, "model.first_kernel", first, "1 or more")
        check_rate(self.dropout)
        at_least(self, 0, "head_width")

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        found: list[Layer] = []
        for stage, width in enumerate(self.widths or default_widths(min(image_shape[:2])), start=1):
            for number in range(1, self.depth + 1):
                found += self._convolution((stage - 1) * self.depth + number, width, last=number == self.depth)
            if self.pool in ("max", "avg"):
                found.append(Pool(f"pool{stage}", self.pool))
        return (*found, *self._head(), Dropout(self.dropout), Dense("logits", num_classes))

    def _convolution(self, number: int, width: int, *, last: bool) -> tuple[Layer, ...]:
        side = (self.first_kernel or self.kernel) if number == 1 else self.kernel
        stride = (self.stride if number == 1 else 1) * (2 if last and self.pool == "stride" else 1)
        name = f"conv{number}"
        local = LocalResponseNorm(f"{name}_norm") if self.norm == "local_response" else None
        conv = Conv(name, width, side, stride, bias=self.norm != "batch")
        return activated(conv, self.activation, self.norm, local=local)

    def _head(self) -> tuple[Layer, ...]:
        if self.head == "global_avg":
            return (GlobalAvgPool(),)
        if not self.head_width:
            return (Flatten(),)
        dense = Dense("dense1", self.head_width, bias=self.norm != "batch")
        return (Flatten(), Dropout(self.dropout), *activated(dense, self.activation, self.norm))


def default_widths(side: int) -> tuple[int, ...]:
    """32, 64, … channels: as many stages as bring an image of `side` pixels down to a map of 4 to 7."""
    stages = 1
    while side // 2**stages > 7:
        stages += 1
    return tuple(32 * 2**stage for stage in range(stages))


def _check_widths(widths: tuple[int, ...] | None) -> None:
    fits = widths is None or (len(widths) > 0 and min(widths) > 0)
    require(fits, "model.widths", widths, "one positive width or more")
