"""The attributions that are timed: of a batch of images of one network, by one method."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import ClassVar

from benchmarks.networks import Network
from convnet.architectures import CNN, shapes

CASES: dict[str, Network] = {"cnn": Network("CNN 32-64-128-128 at 32²", (32, 32, 3), CNN())}
QUICK_CASES: dict[str, Network] = {"tiny_cnn": Network("CNN 4-8 at 8²", (8, 8, 2), CNN(widths=(4,), head_width=8))}

METHODS = ("integrated-gradients", "occlusion")
BASELINES = {"integrated-gradients": 0.0, "occlusion": 0.5}
"""Method -> the pixels from 0 to 1 that are compared with; those of the images are random."""


@dataclass(frozen=True)
class AttributionTask:
    """One attribution of a class's logit for each of `images` images.

    method: one of METHODS. settings: the steps of integrated gradients; side and stride of the windows of occlusion.
    """

    network: Network
    method: str
    images: int
    settings: tuple[int, ...]

    dispatched: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return f"{self.network.label}, {self.method}"

    @property
    def flops(self) -> int:
        """Of all passes of all images: forward and dL/dx at each step, forward for each window."""
        forward = 2 * self.images * sum(shapes.multiply_adds(placed) for placed in self.network.placed)
        if self.method == "integrated-gradients":
            return 2 * self.settings[0] * forward
        window, stride = self.settings
        return forward * prod(1 + ceil((side - window) / stride) for side in self.network.image_shape[:2])
