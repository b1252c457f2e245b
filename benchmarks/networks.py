"""The networks whose training steps are timed: models of the library, whose tables of layers each peer's builder reads.

Their initial parameters are drawn here, by NumPy, so that all peers start from the same numbers and must report the
same first loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from convnet.architectures import CNN, MLP, Architecture, ResNet, Table, shapes
from convnet.architectures.layers import Layer

CLASSES = 10
LEARNING_RATE, MOMENTUM = 0.01, 0.9


@dataclass(frozen=True)
class Network:
    """An architecture on images [N, *image_shape], with logits [N, 10]."""

    label: str
    image_shape: tuple[int, int, int]
    architecture: Architecture | Table

    @property
    def layers(self) -> tuple[Layer, ...]:
        return self.architecture.layers(self.image_shape, CLASSES)

    @property
    def placed(self) -> tuple[shapes.Placed, ...]:
        """The layers where they stand, with their names and shapes; the parts of blocks in their place."""
        return tuple(shapes.walk(self.layers, self.image_shape))


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


def initial_parameters(network: Network, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Full name of a layer -> its kernel (He normal; [KH, KW, C // groups, K] or [D, K]) and bias (0), or its scale (1)
    and bias (0); of what is trained, float32."""
    rng = np.random.default_rng(seed)

    def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
        if name == "kernel":
            return (rng.standard_normal(shape) * np.sqrt(2 / prod(shape[:-1]))).astype(np.float32)
        return np.full(shape, name == "scale", np.float32)

    every = ((placed.name, shapes.trained_shapes(placed)) for placed in network.placed)
    return {name: {part: draw(part, shape) for part, shape in own.items()} for name, own in every if own}


def synthetic_data(network: Network, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random images uint8 [n, H, W, C] and labels int32 [n]."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *network.image_shape), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, n, dtype=np.int32)


def step_flops(network: Network, batch: int) -> int:
    """Of convolutions and dense layers, two for a product and its addition: forward and both gradients, the first layer
    without dL/dx, a frozen kernel without its own."""
    return flops_of(network.placed, batch)


def flops_of(placed: Sequence[shapes.Placed], batch: int) -> int:
    """The same of layers where they stand."""
    weighted = [layer for layer in placed if shapes.multiply_adds(layer)]
    products = [1 + ("kernel" in shapes.trained_shapes(layer)) + (layer is not weighted[0]) for layer in weighted]
    return 2 * batch * sum(n * shapes.multiply_adds(layer) for n, layer in zip(products, weighted, strict=True))


# --- the table --------------------------------------------------------------------------------------------------------


def plain_cnn(*, side: int, channels: int, depth: int) -> Network:
    """`depth` 3×3 convolutions of one width on `side`² RGB images: for measuring how cost grows."""
    architecture = CNN(widths=(channels,), depth=depth, pool="none", head="global_avg")
    return Network(f"{depth} × conv3-{channels} at {side}²", (side, side, 3), architecture)


NETWORKS: dict[str, Network] = {
    "mlp": Network("MLP 784-512-256", (28, 28, 1), MLP(widths=(512, 256))),
    "mnist_cnn": Network("CNN 32-64-256 at 28²", (28, 28, 1), CNN(widths=(32, 64), head_width=256)),
    "small_vgg": Network(
        "VGG 2×64-2×128-2×256-256 at 32²", (32, 32, 3), CNN(widths=(64, 128, 256), depth=2, head_width=256)
    ),
    "resnet8": Network("ResNet-8 32-64-128 at 32²", (32, 32, 3), ResNet("resnet8", width=2.0)),
}

LARGE_NETWORKS: dict[str, Network] = {
    "resnet18": Network("ResNet-18 64-128-256-512 at 32²", (32, 32, 3), ResNet("resnet18")),
}
"""For accelerators."""

QUICK_NETWORKS: dict[str, Network] = {
    "tiny_cnn": Network("CNN 4-8 at 8²", (8, 8, 2), CNN(widths=(4,), head_width=8)),
    "tiny_resnet": Network("ResNet 4-8-16 at 8²", (8, 8, 3), ResNet("resnet8", width=0.25)),
}
