"""What a look at a network is made from, and what its sections have alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import dropwhile, islice, takewhile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from convnet import analysis
from convnet.analysis import View
from convnet.architectures.layers import Activation, BatchNorm
from convnet.data import Dataset
from convnet.recipes import quick, usual_run
from convnet.report import tiles
from convnet.report.page import Tile
from convnet.report.picture import ticks
from convnet.result import RunResult
from convnet.run import Trainer
from convnet.trained import Trained


@dataclass(frozen=True)
class Effort:
    """How much is shown, and how long it is searched."""

    images: int = 4
    units: int = 6
    """Of a layer."""
    layers: int = 4
    starts: int = 3
    steps: int = 256
    """Of activation maximisation; inversion takes as many."""
    examples: int = 2000
    """Images that units, receptive fields and the trust page are measured on, at most."""
    trusted: int = 32
    """Images of the trust page."""
    samples: int = 50
    """Noisy copies of an image."""
    side: int = 224
    """The longest, of photographs."""
    iterations: int = 10
    """Of dreams, at each size."""
    strokes: int = 100
    """Steps of style transfer."""

    @classmethod
    def quick(cls) -> Effort:
        return cls(
            images=1, units=2, layers=2, starts=2, steps=12, examples=64, trusted=4, samples=4, side=64, iterations=2,
            strokes=2,
        )  # fmt: skip


@dataclass(frozen=True)
class Look:
    """A trained network and the images that it is looked at with.

    images: float32 [N, H, W, C] in 0 … 1; labels: their classes [N], of images of no data set what the network says;
    titles: what to call each. dataset, result: None where there is none. units: (layer, number), or () to choose some.
    """

    network: Trained
    images: np.ndarray
    labels: np.ndarray
    titles: tuple[str, ...]
    dataset: Dataset | None
    result: RunResult | None = None
    units: tuple[tuple[str, int], ...] = ()
    effort: Effort = field(default_factory=Effort)
    seed: int = 0

    @cached_property
    def view(self) -> View:
        return View.of(self.network)

    @cached_property
    def at_random(self) -> View:
        """A twin of the network that has learned nothing: its weights as the model starts, from another key."""
        with self.view.precision():
            model, image = self.view.model, jnp.zeros((1, *self.network.task.input_shape), self.view.dtype)
            return self.view.with_variables(jax.jit(model.init)(jax.random.key(self.seed + 1), image))

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes, short enough to stand under a picture."""
        return ticks(self.network.class_names, longest=14)

    @cached_property
    def maps(self) -> dict[str, tuple[int, int, int]]:
        """The layers that have maps of more than one pixel, and their shapes."""
        return {n: shape for n, shape in self.view.layers.items() if len(shape) == 3 and shape[0] * shape[1] > 1}

    @cached_property
    def chosen_layers(self) -> tuple[str, ...]:
        """Layers with maps to look into: after their activation where they have one, spread over the depth."""
        return spread(self.candidates, self.effort.layers)

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Those to choose from: of the units asked for, else results of activations and residual blocks, else all."""
        if self.units:
            return tuple(dict.fromkeys(layer for layer, _ in self.units))
        activated = {placed.name for placed in self.placed if isinstance(placed.layer, Activation)} | self.residuals
        return tuple(name for name in self.maps if name in activated) or tuple(self.maps)

    @cached_property
    def placed(self) -> tuple[Any, ...]:
        """The table of the network; () where it has none."""
        return self.view.placed if hasattr(self.view.model, "table") else ()

    @cached_property
    def residuals(self) -> set[str]:
        return {name.removesuffix("/sum") for name in self.maps if name.endswith("/sum")}

    @cached_property
    def mean_pixel(self) -> np.ndarray:
        """[C]: the mean of each channel over the training images, in 0 … 1."""
        return np.asarray(self.network.task.facts.mean, np.float32) / 255

    def chosen_units(self, layer: str, alive: np.ndarray, interest: np.ndarray) -> list[int]:
        """Those that were asked for, else the most interesting of those alive (else of all)."""
        if asked := [unit for name, unit in self.units if name == layer]:
            return asked
        order = np.argsort(-np.nan_to_num(np.where(alive, interest, -1.0), nan=0.0), kind="stable")
        return sorted(map(int, order[: self.effort.units]))

    @cached_property
    def filters(self) -> analysis.FilterStatistics | None:
        """Of the first convolution; None where there is none."""
        try:
            return analysis.filter_statistics(self.view)
        except ValueError:
            return None

    def first_filters(self, layer: str) -> np.ndarray | None:
        """[K, KH, KW, C]: the kernels of the first convolution, if `layer` is it or its activation; else None."""
        if self.filters is None:
            return None
        after = dropwhile(lambda placed: placed.name != self.filters.layer, self.placed)
        own = takewhile(lambda placed: isinstance(placed.layer, (BatchNorm, Activation)), islice(after, 1, None))
        return self.filters.filters if layer in {self.filters.layer, *(placed.name for placed in own)} else None

    @cached_property
    def linear_templates(self) -> np.ndarray:
        """[K, H, W, C] of a linear classifier: the network itself, or one that is trained here, as comparisons do."""
        config = self.network.config
        if config.model.name == "linear":
            return analysis.templates(self.network.variables, self.network.task.input_shape)
        linear = replace(usual_run(config.data.name, "linear"), seed=config.seed)
        trainer = Trainer(quick(linear) if self.effort == Effort.quick() else linear, self.data)
        return analysis.templates(trainer.run().variables, trainer.task.input_shape)

    @cached_property
    def has_relu(self) -> bool:
        """Whether deconvnet and guided back-propagation have something to change."""
        try:
            analysis.under_rule(self.view, "deconvnet")
        except ValueError:
            return False
        return True

    def held_out(self, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Test images in 0 … 1 and their labels: at most `most`, every so many of them."""
        split = self.data.test
        rows = np.linspace(0, len(split) - 1, min(len(split), most or self.effort.examples)).astype(int)
        return self.unit_pixels(split.images[rows]), split.labels[rows]

    @property
    def data(self) -> Dataset:
        if self.dataset is None:
            raise ValueError("there is no data set to show this on: it is one's own, and only the run's program has it")
        return self.dataset

    def unit_pixels(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(images, np.float32) / 255

    def class_name(self, label: int) -> str:
        return self.classes[int(label)]


def spread(names: Sequence[str], most: int) -> tuple[str, ...]:
    """At most `most` of `names`, the first and the last among them."""
    if len(names) <= most:
        return tuple(names)
    return tuple(names[i] for i in np.unique(np.linspace(0, len(names) - 1, most).round().astype(int)))


# --- pictures as tiles ------------------------------------------------------------------------------------------------


def photo(image: np.ndarray, alt: str, label: str = "", width: int = 72) -> Tile:
    """An image [H, W, C] in 0 … 1; NaN is no pixel."""
    return Tile(tiles.pixel_rgb(255 * image[None])[0], alt, label, width)


def signed(values: np.ndarray, alt: str, label: str = "", width: int = 72, limit: float | None = None) -> Tile:
    """[H, W, C] about 0: blue below, red above, channels added up; `limit` at the ends of the scale, None: the largest
    magnitude."""
    return Tile(tiles.signed_rgb(values.sum(-1, keepdims=True)[None], limit)[0], alt, label, width)


def heat(values: np.ndarray, alt: str, label: str = "", width: int = 72, *, low=None, high=None) -> Tile:
    """[H, W] from dark (low) to bright (high)."""
    return Tile(tiles.heat_rgb(values[None], low, high)[0], alt, label, width)


def wall(images: Sequence[np.ndarray], alt: str, label: str = "", width: int = 108, columns: int = 3) -> Tile:
    """Several images [H, W, C] in 0 … 1 in one tile."""
    return Tile(tiles.grid(tiles.pixel_rgb(255 * np.stack(images)), columns=columns), alt, label, width)
