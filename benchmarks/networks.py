"""The networks whose training steps are timed, as plain data that each peer's builder reads.

Their initial parameters are drawn here, by NumPy, so that all peers start from the same numbers and must report the
same first loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Conv:
    """Padded by kernel // 2. No bias where a normalisation follows."""

    features: int
    kernel: int = 3
    stride: int = 1
    bias: bool = True


@dataclass(frozen=True)
class Norm:
    """Batch normalisation with the statistics of the batch."""


@dataclass(frozen=True)
class Relu:
    pass


@dataclass(frozen=True)
class Pool:
    """Max pooling over disjoint windows."""

    window: int = 2


@dataclass(frozen=True)
class GlobalAverage:
    pass


@dataclass(frozen=True)
class Flatten:
    pass


@dataclass(frozen=True)
class Dense:
    features: int


@dataclass(frozen=True)
class Residual:
    """relu(body(x) + shortcut(x)); an empty shortcut is the identity."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


Layer = Conv | Norm | Relu | Pool | GlobalAverage | Flatten | Dense | Residual


@dataclass(frozen=True)
class Network:
    """Layers over images [N, *image_shape], up to the logits [N, 10]."""

    label: str
    image_shape: tuple[int, int, int]
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class StepTask:
    """Training steps of a network: one dispatched (`single`), an epoch of `repeats` steps as one program (`scanned`),
    or one step of `repeats` replicates in one program (`vmapped`)."""

    network: Network
    mode: str
    batch: int
    repeats: int = 1
    precision: str = "float32"

    @property
    def label(self) -> str:
        return f"{self.network.label}, {self.mode}"

    @property
    def dispatched(self) -> bool:
        """Whether it is one step, not a program of several."""
        return self.mode == "single"

    @property
    def flops(self) -> int:
        """Of one step of one replicate."""
        return step_flops(self.network, self.batch)


MODES = ("single", "scanned", "vmapped")


def walk(layers: tuple[Layer, ...], shape: Shape, prefix: str = "layer") -> Iterator[tuple[str, Layer, Shape]]:
    """(name, layer, shape of its input without N) in order; a residual's parts stand in its place."""
    for i, layer in enumerate(layers):
        name = f"{prefix}_{i}"
        if isinstance(layer, Residual):
            yield from walk(layer.body, shape, f"{name}_body")
            yield from walk(layer.shortcut, shape, f"{name}_shortcut")
        else:
            yield name, layer, shape
        shape = output_shape(layer, shape)


def output_shape(layer: Layer, shape: Shape) -> Shape:
    """Shape after `layer`, both without N."""
    match layer:
        case Conv(features=features, kernel=kernel, stride=stride):
            side = (shape[0] + 2 * (kernel // 2) - kernel) // stride + 1
            return side, side, features
        case Pool(window=window):
            return shape[0] // window, shape[1] // window, shape[2]
        case GlobalAverage():
            return shape[-1:]
        case Flatten():
            return (prod(shape),)
        case Dense(features=features):
            return (features,)
        case Residual(body=body):
            for inner in body:
                shape = output_shape(inner, shape)
    return shape


def initial_parameters(network: Network, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> its kernel (He normal; [KH, KW, C, K] or [D, K]) and bias, or scale and bias; float32."""
    rng, found = np.random.default_rng(seed), {}
    for name, layer, shape in walk(network.layers, network.image_shape):
        match layer:
            case Conv(features=features, kernel=kernel, bias=bias):
                full, has_bias = (kernel, kernel, shape[-1], features), bias
            case Dense(features=features):
                full, has_bias = (shape[-1], features), True
            case Norm():
                found[name] = {"scale": np.ones(shape[-1:], np.float32), "bias": np.zeros(shape[-1:], np.float32)}
                continue
            case _:
                continue
        kernel = rng.standard_normal(full) * np.sqrt(2 / prod(full[:-1]))
        found[name] = {"kernel": kernel.astype(np.float32)}
        if has_bias:
            found[name]["bias"] = np.zeros(full[-1:], np.float32)
    return found


def synthetic_data(network: Network, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images uint8 [n, H, W, C] and labels int32 [n]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *network.image_shape), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, n, dtype=np.int32)


def step_flops(network: Network, batch: int) -> int:
    """Of convolutions and dense layers: forward and both gradients, the first layer without dL/dx."""
    total, passes = 0, 2
    for _, layer, shape in walk(network.layers, network.image_shape):
        if isinstance(layer, Conv | Dense):
            fan_in = prod(shape[-1:]) * (layer.kernel**2 if isinstance(layer, Conv) else 1)
            total += passes * 2 * batch * prod(output_shape(layer, shape)) * fan_in
            passes = 3
    return total


# --- the table --------------------------------------------------------------------------------------------------------


def _stage(*features: int) -> tuple[Layer, ...]:
    return (*(layer for width in features for layer in (Conv(width), Relu())), Pool())


def _block(features: int, stride: int) -> Residual:
    body = (Conv(features, stride=stride, bias=False), Norm(), Relu(), Conv(features, bias=False), Norm())
    return Residual(body, (Conv(features, kernel=1, stride=stride, bias=False), Norm()) if stride > 1 else ())


def _head(*widths: int) -> tuple[Layer, ...]:
    return (Flatten(), *(layer for width in widths for layer in (Dense(width), Relu())), Dense(CLASSES))


def plain_cnn(*, side: int, channels: int, depth: int) -> Network:
    """`depth` 3×3 convolutions of one width on `side`² RGB images: for measuring how cost grows."""
    layers = tuple(layer for _ in range(depth) for layer in (Conv(channels), Relu()))
    label = f"{depth} × conv3-{channels} at {side}²"
    return Network(label, (side, side, 3), (*layers, GlobalAverage(), Dense(CLASSES)))


NETWORKS: dict[str, Network] = {
    "mlp": Network("MLP 784-512-256", (28, 28, 1), _head(512, 256)),
    "mnist_cnn": Network("CNN 32-64-256 at 28²", (28, 28, 1), (*_stage(32), *_stage(64), *_head(256))),
    "small_vgg": Network(
        "VGG 2×64-2×128-2×256-256 at 32²",
        (32, 32, 3),
        (*_stage(64, 64), *_stage(128, 128), *_stage(256, 256), *_head(256)),
    ),
    "resnet8": Network(
        "ResNet-8 32-64-128 at 32²",
        (32, 32, 3),
        (
            *(Conv(32, bias=False), Norm(), Relu()),
            *(_block(32, 1), _block(64, 2), _block(128, 2)),
            *(GlobalAverage(), Dense(CLASSES)),
        ),
    ),
}

LARGE_NETWORKS: dict[str, Network] = {
    "resnet18": Network(
        "ResNet-18 64-128-256-512 at 32²",
        (32, 32, 3),
        (
            *(Conv(64, bias=False), Norm(), Relu()),
            *(_block(64, 1), _block(64, 1), _block(128, 2), _block(128, 1)),
            *(_block(256, 2), _block(256, 1), _block(512, 2), _block(512, 1)),
            *(GlobalAverage(), Dense(CLASSES)),
        ),
    ),
}
"""For accelerators."""

QUICK_NETWORKS: dict[str, Network] = {
    "tiny_cnn": Network("CNN 4-8 at 8²", (8, 8, 2), (*_stage(4), *_head(8))),
    "tiny_resnet": Network(
        "ResNet 4-8 at 8²",
        (8, 8, 3),
        (Conv(4, bias=False), Norm(), Relu(), _block(4, 1), _block(8, 2), GlobalAverage(), Dense(CLASSES)),
    ),
}
