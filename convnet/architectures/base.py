"""What the settings of all models have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from convnet.architectures.layers import Dense, Layer
from convnet.settings import require, settle


@dataclass(frozen=True)
class Architecture:
    """A model's settings, and the table of layers that they stand for. Each model is a class of its own, with the
    settings that it has a use for and no others."""

    name: str
    """Which model: linear, mlp, cnn, lenet5, alexnet, zfnet, vgg11, vgg16, resnet8, resnet18, resnet34 or
    airbench."""
    initializer: str = "glorot_uniform"
    """Distribution of the initial weights; biases start at 0."""
    initializer_scale: float | None = None
    """Its value, deviation, bound or gain. None: its usual one."""
    precision: Literal["float32", "tf32", "bfloat16", "float64"] = "float32"
    """What the layers compute in. tf32 is float32 whose products an accelerator may round the factors of: to 10 bits on
    GPUs that have it, not at all on CPUs. With bfloat16 the parameters and the loss stay float32."""

    def __post_init__(self):
        settle(self, "model")
        self.check()

    def check(self) -> None:
        """ValueError for a number out of range."""

    @property
    def whitening_side(self) -> int:
        """Side of the first layer's kernels where the training images decide them; else 0."""
        return 0

    @property
    def dtype(self) -> str:
        """Of the arrays that the layers compute with."""
        return "float32" if self.precision == "tf32" else self.precision

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        """The network for images [H, W, C], up to a dense layer called logits.

        Raises ValueError where the settings do not fit such images.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Own(Architecture):
    """A model of one's own, a Flax module, which has no table: it takes its place in the task (docs/extending.md)."""

    name: Literal["own"] = "own"
    label: str = ""
    """What to call it in records."""

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        raise ValueError("model.name is 'own': expected a task with the model, replace(make_task(…), model=…)")


@dataclass(frozen=True)
class Table:
    """Layers written down one by one; the logits follow. For a network that is made in code, not in a config."""

    body: tuple[Layer, ...]

    def layers(self, image_shape: tuple[int, int, int], num_classes: int) -> tuple[Layer, ...]:
        del image_shape
        return (*self.body, Dense("logits", num_classes))


def at_least(model: Architecture, least: int, *names: str) -> None:
    """ValueError for a setting below `least`."""
    for name in names:
        require(getattr(model, name) >= least, f"model.{name}", getattr(model, name), f"{least} or more")


def check_rate(rate: float) -> None:
    require(0 <= rate <= 1, "model.dropout", rate, "a probability in [0, 1]")
