"""Residual networks of basic blocks (He et al., CVPR 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.architectures.base import Architecture
from convnet.architectures.layers import BatchNorm, Block, Conv, Dense, GlobalAvgPool, Layer, Pool, Residual, activated
from convnet.settings import require

VARIANTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "resnet8": ((16, 32, 64), (1, 1, 1)),
    "resnet18": ((64, 128, 256, 512), (2, 2, 2, 2)),
    "resnet34": ((64, 128, 256, 512), (3, 4, 6, 3)),
}
"""Channels and number of blocks of each stage: sections 4.2 (6n + 2 layers, n = 1) and 4.1 (table 1)."""
SMALL = 64
"""Sides below this, in pixels, are images such as CIFAR's."""


@dataclass(frozen=True)
class ResNet(Architecture):
    """A stem, stages of residual blocks, the mean over all pixels. 11,689,512 parameters with 18 layers and 21,797,672
    with 34, for 1,000 classes of images of 224 pixels; 78,042 with 8, for 10 classes of CIFAR's 32 pixels.

    Where a stage halves the map or changes the channels, the shortcut is a 1×1 convolution (the paper's option B).
    """

    name: Literal["resnet8", "resnet18", "resnet34"] = "resnet18"
    width: float = 1.0
    """Factor of all numbers of channels."""
    stem: Literal["auto", "large", "small"] = "auto"
    """What reads the image. large: a 7×7 convolution of stride 2 and max pooling, as for 224 pixels; small: a 3×3
    convolution, as for CIFAR's 32; auto: small below 64 pixels."""

    def check(self) -> None:
        require(self.width > 0, "model.width", self.width, "a positive factor")

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        channels, counts = VARIANTS[self.name]
        channels = [max(round(features * self.width), 1) for features in channels]
        found, before = list(self._stem(channels[0], min(image_shape[:2]))), channels[0]
        for stage, (features, count) in enumerate(zip(channels, counts, strict=True), start=1):
            blocks = []
            for number in range(1, count + 1):
                stride = 2 if stage > 1 and number == 1 else 1
                blocks.append(_block(f"block{number}", features, stride, projected=stride > 1 or before != features))
                before = features
            found.append(Block(f"stage{stage}", tuple(blocks)))
        return (*found, GlobalAvgPool(), Dense("logits", num_classes))

    def _stem(self, features: int, side: int) -> tuple[Layer, ...]:
        if self.stem == "small" or (self.stem == "auto" and side < SMALL):
            return activated(Conv("conv1", features, 3, padding=1, bias=False), "relu", "batch")
        conv = Conv("conv1", features, 7, 2, 3, bias=False)
        return (*activated(conv, "relu", "batch"), Pool("pool1", "max", 3, 2, 1))


def _block(name: str, features: int, stride: int, *, projected: bool) -> Residual:
    body = (
        *activated(Conv("conv1", features, 3, stride, 1, bias=False), "relu", "batch"),
        Conv("conv2", features, 3, 1, 1, bias=False),
        BatchNorm("conv2_norm"),
    )
    shortcut = (Conv("shortcut", features, 1, stride, 0, bias=False), BatchNorm("shortcut_norm"))
    return Residual(name, body, shortcut if projected else ())
