"""Images that excite a network's units: each by a call of its own, and all in one program; timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from convnet import models
from convnet.analysis import View
from convnet.analysis.activation_maximization import REGULARIZED, maximize_units
from convnet.architectures import CNN


@dataclass(frozen=True)
class Case:
    """A network, as it starts, on images of a shape, and the layer whose units are looked at."""

    label: str
    model: CNN
    image_shape: tuple[int, int, int]
    layer: str

    @property
    def view(self) -> View:
        model = models.build(self.model, num_classes=10)
        variables = model.init(jax.random.key(0), jnp.zeros((1, *self.image_shape)))
        return View.of_module(model, variables, self.image_shape)


CASES = {
    "digits": Case("CNN 64-64 on 8²", CNN(widths=(64,), depth=2), (8, 8, 1), "conv2_relu"),
    "mnist": Case("CNN 32-64 on 28²", CNN(widths=(32, 64)), (28, 28, 1), "conv2_relu"),
    "cifar10": Case("CNN 32-64-128 on 32² in colour", CNN(widths=(32, 64, 128)), (32, 32, 3), "conv3_relu"),
}


def ways(case: Case, units: int, steps: int) -> dict[str, Callable[[], object]]:
    """Each finds the images of all units. alone: a call for each unit; together: one for all."""
    view, settings = case.view, dict(steps=steps, **REGULARIZED)
    return {
        "alone": lambda: [maximize_units(view, case.layer, [unit], **settings) for unit in range(units)],
        "together": lambda: maximize_units(view, case.layer, range(units), **settings),
    }
