"""The recipe's constants, and how it is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.settings import require, settle


@dataclass(frozen=True)
class Settings:
    """Checked when made: a value that is refused raises ValueError."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs."""
    precision: Literal["fastest", "float32", "bfloat16", "float16", "autocast"] = "float32"
    """Of parameters, but for batch norm's float32, and of activations. autocast: float32 and bfloat16. fastest: float32
    or autocast, by a trial."""
    compiled: bool = False
    """Whether torch.compile compiles the network and Muon's iteration."""
    compile_mode: Literal["default", "max-autotune", "max-autotune-no-cudagraphs", "reduce-overhead"] = "default"
    """What torch.compile is asked for."""

    epochs: int = 8
    """Passes through the training images."""
    batch_size: int = 2000
    """Images of a step, and at most of a pass of the evaluation; an epoch's remainder is dropped."""
    views: Literal["none", "mirror", "six"] = "six"
    """What the evaluation averages at most: the image, or its mirror too, or also both shifted by a pixel, twice."""

    mean: tuple[float, ...] = (0.4914, 0.4822, 0.4465)
    """Of each channel, subtracted from images in [0, 1]."""
    std: tuple[float, ...] = (0.2470, 0.2435, 0.2616)
    """Of each channel, by which images are divided."""
    shift: int = 2
    """Pixels by which a crop may be off in each direction."""

    widths: tuple[int, ...] = (64, 256, 256)
    """Channels of the three groups."""
    logit_divisor: float = 256.0
    """What the head's output is divided by."""
    norm_epsilon: float = 1e-12
    """Added to the variance in batch norm."""
    norm_momentum: float = 0.6
    """Share of the running statistics that a step keeps."""

    whitening_images: int = 5000
    """Training images from the start of the data whose patches are whitened."""
    whitening_epsilon: float = 5e-4
    """Added to the eigenvalues of the patches' covariance."""
    whitening_share: float = 3 / 8
    """Of the run's steps: those in which the bias after the whitening is trained."""

    smoothing: float = 0.2
    """Probability that the labels spread over all classes."""
    bias_rate: float = 0.053
    """Learning rate of all biases at the start; all rates fall linearly to 0."""
    head_rate: float = 0.67
    """Learning rate of the head's weights at the start."""
    decay: float = 2e-6
    """L2 coefficient per image of a batch, divided by a parameter's rate; Muon has none."""
    sgd_momentum: float = 0.85
    """Nesterov's, of biases and head."""
    muon_rate: float = 0.24
    """Learning rate of the convolutions' kernels at the start."""
    muon_momentum: float = 0.6
    """Nesterov's, of the convolutions' kernels."""
    iterations: int = 3
    """Of Newton and Schulz in a step."""
    coefficients: tuple[float, ...] = (3.4445, -4.775, 2.0315)
    """Of X, XXᵀX and (XXᵀ)²X in an iteration."""
    iteration_precision: Literal["fastest", "float32", "bfloat16"] = "bfloat16"
    """Of the iterations. fastest: by a trial."""

    def __post_init__(self) -> None:
        settle(self)
        for name in ("epochs", "batch_size", "whitening_images"):
            self._require(name, getattr(self, name) >= 1, "1 or more")
        for name in ("shift", "iterations", "decay", "norm_epsilon", "whitening_epsilon", "logit_divisor"):
            self._require(name, getattr(self, name) >= 0, "0 or more")
        for name in ("bias_rate", "head_rate", "muon_rate", "logit_divisor"):
            self._require(name, getattr(self, name) > 0, "more than 0")
        for name in ("smoothing", "muon_momentum", "norm_momentum"):
            self._require(name, 0 <= getattr(self, name) < 1, "0 or more, less than 1")
        self._require("sgd_momentum", 0 < self.sgd_momentum < 1, "more than 0, less than 1")
        for name in ("mean", "std", "widths", "coefficients"):
            self._require(name, len(getattr(self, name)) == 3, "three numbers")
        self._require("std", min(self.std) > 0, "three numbers above 0")
        self._require("widths", min(self.widths) >= 1, "three numbers, 1 or more")
        self._require("shift", self.shift <= 31, "less than the 32 pixels of an image")
        self._require("whitening_share", 0 < self.whitening_share <= 1, "more than 0, up to 1")

    def _require(self, name: str, condition: bool, expected: str) -> None:
        require(condition, name, getattr(self, name), expected)
