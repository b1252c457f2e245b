"""The vocabulary that networks are written in: a network is a tuple of layers, for whoever builds, counts or draws it.

Layers are plain values. A name is that of the layer's parameters and of its result; inside a `Block` or `Residual` it
goes under the block's, as in stage2/block1/conv1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from convnet.ops.window import Padding, Pair
from convnet.settings import require

Function = Literal["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "softplus", "silu", "hard_swish"]
FUNCTIONS: tuple[str, ...] = get_args(Function)
"""Activation functions: ops of the same names."""


@dataclass(frozen=True)
class Conv:
    """[N, H, W, C] -> [N, OH, OW, features]; the settings up to groups are `ops.conv2d`'s.

    initializer, initializer_scale: of its own kernel, where they differ from the network's. frozen: its kernel is not
    trained; it is kept beside the running statistics of batch norm, where no optimiser and no decay comes.
    """

    name: str
    features: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = "SAME"
    dilation: Pair = 1
    groups: int = 1
    bias: bool = True
    initializer: str | None = None
    initializer_scale: float | None = None
    frozen: bool = False

    def __post_init__(self):
        _at_least_one(self, "features", "groups")


@dataclass(frozen=True)
class Dense:
    """[N, D] -> [N, features]. initializer, initializer_scale: as of `Conv`."""

    name: str
    features: int
    bias: bool = True
    initializer: str | None = None
    initializer_scale: float | None = None

    def __post_init__(self):
        _at_least_one(self, "features")


@dataclass(frozen=True)
class Pool:
    """The maximum or the mean of each window, as `ops.max_pool` and `ops.avg_pool`. stride None: the window's side."""

    name: str
    kind: Literal["max", "avg"] = "max"
    window: Pair = 2
    stride: Pair | None = None
    padding: Padding = "VALID"

    def __post_init__(self):
        require(self.kind in ("max", "avg"), f"kind of layer {self.name}", self.kind, "'max' or 'avg'")


@dataclass(frozen=True)
class GlobalAvgPool:
    """[N, H, W, C] -> [N, C]."""

    name: str = "global_avg"


@dataclass(frozen=True)
class BatchNorm:
    """Over all axes but the last: with the statistics of the batch in training, running ones otherwise.

    momentum: what of the running statistics stays at each step. use_scale: whether the deviation is trained; else it
    is 1.
    """

    name: str
    momentum: float = 0.9
    use_scale: bool = True

    def __post_init__(self):
        require(0 <= self.momentum < 1, f"momentum of layer {self.name}", self.momentum, "a number in [0, 1)")


@dataclass(frozen=True)
class LayerNorm:
    """Over the last axis."""

    name: str


@dataclass(frozen=True)
class GroupNorm:
    """Over all places of each of `groups` groups of channels."""

    name: str
    groups: int = 32

    def __post_init__(self):
        _at_least_one(self, "groups")


@dataclass(frozen=True)
class LocalResponseNorm:
    """Across neighbouring channels, as `ops.local_response_norm`, which divides alpha by size."""

    name: str
    size: int = 5
    k: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.75


@dataclass(frozen=True)
class Activation:
    """One of FUNCTIONS, element by element."""

    name: str
    function: str = "relu"

    def __post_init__(self):
        require(self.function in FUNCTIONS, f"function of layer {self.name}", self.function, ", ".join(FUNCTIONS))


@dataclass(frozen=True)
class Dropout:
    """In training each value is dropped with probability `rate`, and the others are scaled up; else the identity."""

    rate: float = 0.5

    def __post_init__(self):
        require(0 <= self.rate <= 1, "rate of a dropout", self.rate, "a probability in [0, 1]")


@dataclass(frozen=True)
class Flatten:
    """[N, …] -> [N, D]."""


@dataclass(frozen=True)
class Block:
    """Layers under one name."""

    name: str
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Residual:
    """function(body(x) + shortcut(x)) (He et al., CVPR 2016); an empty shortcut is the identity.

    Parts go under the block's name; the sum is called NAME/sum, and what the function makes of it NAME.
    """

    name: str
    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()
    function: str = "relu"

    def __post_init__(self):
        require(self.function in FUNCTIONS, f"function of layer {self.name}", self.function, ", ".join(FUNCTIONS))


Leaf = (
    Conv | Dense | Pool | GlobalAvgPool | BatchNorm | LayerNorm | GroupNorm | LocalResponseNorm | Activation | Dropout
    | Flatten
)  # fmt: skip
Layer = Leaf | Block | Residual


def activated(
    layer: Conv | Dense, function: str, norm: str = "none", *, local: LocalResponseNorm | None = None
) -> tuple[Layer, ...]:
    """`layer`, its activation, and the normalisation before it (batch, layer) or after it (`local`)."""
    before = {"batch": BatchNorm, "layer": LayerNorm}.get(norm)
    found: Iterable[Layer | None] = (
        layer,
        before(f"{layer.name}_norm") if before else None,
        Activation(f"{layer.name}_{function}", function),
        local,
    )
    return tuple(one for one in found if one is not None)


def _at_least_one(layer: Conv | Dense | GroupNorm, *names: str) -> None:
    for name in names:
        require(getattr(layer, name) >= 1, f"{name} of layer {layer.name}", getattr(layer, name), "1 or more")
