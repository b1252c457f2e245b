"""The networks that made the field, as published: LeNet-5, AlexNet, ZFNet, VGG.

Where an image is not of the published size, the first dense layer has another number of inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.architectures.base import Architecture, check_rate
from convnet.architectures.layers import (
    Conv,
    Dense,
    Dropout,
    Flatten,
    Function,
    Layer,
    LocalResponseNorm,
    Pool,
    activated,
)
from convnet.settings import require


@dataclass(frozen=True)
class LeNet5(Architecture):
    """LeNet-5 (LeCun et al., Proc. IEEE 1998, figure 2): 61,706 parameters on images of 28 or 32 pixels.

    As it is usually written today: a third convolution that sees every map, pooling without weights, a softmax. The
    original has 60,000: it connects the maps of the second convolution by a table, weighs its pooling, and ends in
    radial basis functions. Images of less than 32 pixels are padded by 2, as those of MNIST were.
    """

    name: Literal["lenet5"] = "lenet5"
    activation: Function = "tanh"
    pool: Literal["max", "avg"] = "avg"
    """Kind of pooling; the original averages."""

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        act = self.activation
        return (
            *activated(Conv("conv1", 6, 5, padding=2 if min(image_shape[:2]) < 32 else "VALID"), act),
            Pool("pool1", self.pool),
            *activated(Conv("conv2", 16, 5, padding="VALID"), act),
            Pool("pool2", self.pool),
            Flatten(),
            *activated(Dense("dense1", 120), act),
            *activated(Dense("dense2", 84), act),
            Dense("logits", num_classes),
        )


@dataclass(frozen=True)
class AlexNet(Architecture):
    """AlexNet (Krizhevsky et al., NeurIPS 2012, section 3.5): 60,965,224 parameters with its two groups, 62,378,344
    without, for 1,000 classes of images of 224 or 227 pixels."""

    name: Literal["alexnet"] = "alexnet"
    groups: int = 2
    """Groups of the second, fourth and fifth convolution: 2, as on the original's two GPUs, or 1."""
    norm: Literal["local_response", "none"] = "local_response"
    """After the first two convolutions."""
    width: float = 1.0
    """Factor of all numbers of channels and hidden units."""
    dropout: float = 0.5
    """Probability of dropping an activation after each hidden dense layer."""

    def check(self) -> None:
        require(self.groups in (1, 2), "model.groups", self.groups, "1 or 2")
        require(self.width > 0, "model.width", self.width, "a positive factor")
        check_rate(self.dropout)

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        groups = self.groups
        one, two, three = (scaled(features, self.width, groups) for features in (96, 256, 384))

        def conv(number: int, features: int, *settings, groups: int = groups, local: bool = False):
            # The paper's alpha of 1e-4 is not divided by the size of 5.
            norm = LocalResponseNorm(f"conv{number}_norm", size=5, k=2.0, alpha=5e-4, beta=0.75)
            layer = Conv(f"conv{number}", features, *settings, groups=groups)
            return activated(layer, "relu", local=norm if local and self.norm == "local_response" else None)

        return (
            *(*conv(1, one, 11, 4, 2, groups=1, local=True), Pool("pool1", "max", 3, 2)),
            *(*conv(2, two, 5, local=True), Pool("pool2", "max", 3, 2)),
            *(*conv(3, three, groups=1), *conv(4, three), *conv(5, two), Pool("pool5", "max", 3, 2)),
            *_head(self, num_classes),
        )


@dataclass(frozen=True)
class ZFNet(Architecture):
    """ZFNet (Zeiler & Fergus, ECCV 2014, figure 3): AlexNet with a first layer of smaller kernels and a smaller stride;
    62,357,608 parameters for 1,000 classes of images of 224 pixels."""

    name: Literal["zfnet"] = "zfnet"
    norm: Literal["local_response", "none"] = "local_response"
    """After the first two poolings; the paper's contrast normalisation is not told in more detail."""
    width: float = 1.0
    """Factor of all numbers of channels and hidden units."""
    dropout: float = 0.5
    """Probability of dropping an activation after each hidden dense layer."""

    def check(self) -> None:
        require(self.width > 0, "model.width", self.width, "a positive factor")
        check_rate(self.dropout)

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        one, two, three = (scaled(features, self.width) for features in (96, 256, 384))

        def norm(number: int) -> tuple[Layer, ...]:
            local = LocalResponseNorm(f"pool{number}_norm", size=5, k=2.0, alpha=5e-4, beta=0.75)
            return (local,) if self.norm == "local_response" else ()

        return (
            *(*activated(Conv("conv1", one, 7, 2, 1), "relu"), Pool("pool1", "max", 3, 2, 1), *norm(1)),
            *(*activated(Conv("conv2", two, 5, 2, "VALID"), "relu"), Pool("pool2", "max", 3, 2, 1), *norm(2)),
            *activated(Conv("conv3", three), "relu"),
            *activated(Conv("conv4", three), "relu"),
            *(*activated(Conv("conv5", two), "relu"), Pool("pool5", "max", 3, 2)),
            *_head(self, num_classes),
        )


VGG_STAGES = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
"""Convolutions of each stage (Simonyan & Zisserman, ICLR 2015, table 1, columns A and D)."""


@dataclass(frozen=True)
class VGG(Architecture):
    """VGG (Simonyan & Zisserman, ICLR 2015): nothing but 3×3 convolutions; 132,863,336 parameters with 11 layers and
    138,357,544 with 16, for 1,000 classes of images of 224 pixels."""

    name: Literal["vgg11", "vgg16"] = "vgg11"
    norm: Literal["none", "batch"] = "none"
    """Batch normalisation after each convolution; the paper, which is older, has none."""
    width: float = 1.0
    """Factor of all numbers of channels and hidden units."""
    dropout: float = 0.5
    """Probability of dropping an activation after each hidden dense layer."""

    def check(self) -> None:
        require(self.width > 0, "model.width", self.width, "a positive factor")
        check_rate(self.dropout)

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        found: list[Layer] = []
        channels = (64, 128, 256, 512, 512)
        for stage, (count, features) in enumerate(zip(VGG_STAGES[self.name], channels, strict=True), start=1):
            for number in range(1, count + 1):
                conv = Conv(f"conv{stage}_{number}", scaled(features, self.width), bias=self.norm == "none")
                found += activated(conv, "relu", self.norm)
            found.append(Pool(f"pool{stage}"))
        return (*found, *_head(self, num_classes))


def scaled(features: int, width: float, multiple: int = 1) -> int:
    """`features` times `width`, rounded to a `multiple`, and not 0."""
    return max(round(features * width / multiple), 1) * multiple


def _head(model: AlexNet | ZFNet | VGG, num_classes: int) -> tuple[Layer, ...]:
    """Two hidden layers of 4,096 units, and the logits."""
    units, found = scaled(4096, model.width), []
    for number in (1, 2):
        found += [*activated(Dense(f"dense{number}", units), "relu"), Dropout(model.dropout)]
    return (Flatten(), *found, Dense("logits", num_classes))
