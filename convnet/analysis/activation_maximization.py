"""Images that excite a unit most (Erhan et al., 2009; Simonyan et al., ICLR workshop 2014; Olah et al., Distill 2017).

found = maximize_units(network, "conv2_relu", range(64), seeds=(0, 1, 2), **REGULARIZED)
found.images                                       # [64, 3, H, W, C] in 0 … 1
ink = usual_ink(network, images, labels)
maximize_classes(network, ink=ink).images          # one image per class, which pays for every pixel that is not black
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from convnet import ops
from convnet.analysis.ascent import Blur, Clip, Constraint, Ink, Jitter, Penalty, Transform, ascend
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained

REGULARIZED = {"transforms": (Jitter(2),), "constraints": (Blur(0.5, every=4), Clip())}
"""Settings for pictures of units, of networks on images of about 30 pixels. Without them what excites a unit most is
true to the letter, and looks like noise."""

Objective = Callable[[Array, Array], Array]
"""(values of the layer [S, H', W', K] or [S, K], unit) -> [S], what each image is to make large."""

Start = Callable[[Array, tuple[int, int, int], Any], Array]
"""(key, (H, W, C), dtype) -> the image to start from."""


# --- objectives -------------------------------------------------------------------------------------------------------


def mean_activation(values: Array, unit: Array) -> Array:
    """The mean of a channel over all places of its map; of a vector, its entry: a neuron, or a logit."""
    values = jnp.take(values, unit, axis=-1)
    return values.reshape(len(values), -1).mean(axis=1)


@dataclass(frozen=True)
class Neuron:
    """A channel at one place of its map, (row, column); None: its centre. What the image shows then lies within that
    neuron's receptive field."""

    position: tuple[int, int] | None = None

    def __call__(self, values: Array, unit: Array) -> Array:
        require(values.ndim == 4, "layer", list(values.shape[1:]), "maps [H, W, K], for a neuron at a place of them")
        height, width = values.shape[1:3]
        row, column = (height // 2, width // 2) if self.position is None else self.position
        inside = 0 <= row < height and 0 <= column < width
        require(inside, "position", self.position, f"a place of the {height}×{width} map")
        return jnp.take(values[:, row, column], unit, axis=-1)


# --- starts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """Gaussian noise around a grey, cut to 0 … 1."""

    mean: float = 0.5
    deviation: float = 0.1

    def __call__(self, key: Array, shape: tuple[int, int, int], dtype: Any) -> Array:
        return jnp.clip(self.mean + self.deviation * jax.random.normal(key, shape, dtype), 0, 1)


# --- a dead unit ------------------------------------------------------------------------------------------------------


@jax.custom_vjp
def waking_relu(x: Array) -> Array:
    """relu of [S, …] with another backward pass: where relu's gives an image nothing at all, max(g, 0) goes through, so
    that the pre-activations of what is dead rise (as lucid's redirected_relu_grad does).
    """
    return ops.relu(x)


def _waking_forward(x: Array) -> tuple[Array, Array]:
    return ops.relu(x), x > 0


def _waking_backward(alive: Array, g: Array) -> tuple[Array]:
    usual = jnp.where(alive, g, jnp.zeros_like(g))
    dead = jnp.all(usual == 0, axis=tuple(range(1, g.ndim)), keepdims=True)
    return (jnp.where(dead, jnp.maximum(g, jnp.zeros_like(g)), usual),)


waking_relu.defvjp(_waking_forward, _waking_backward)


# --- what is done -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Maximized:
    """Images that excite U units, from S starts each.

    images: [U, S, H, W, C] in 0 … 1 unless the constraints say otherwise. objectives: [U, S, steps], what each step
    began with, of the image as the network saw it then (jitter), less the penalties. activations: [U, S], the objective
    of the finished images, without penalties. logits, probabilities: [U, S, K] of the finished images; K is 0 where the
    view has no classes. layer: None stands for the logits.
    """

    layer: str | None
    units: np.ndarray
    seeds: tuple[int, ...]
    images: np.ndarray
    objectives: np.ndarray
    activations: np.ndarray
    logits: np.ndarray
    probabilities: np.ndarray


def maximize_units(
    network: Trained | View,
    layer: str | None,
    units: Iterable[int] | None = None,
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 256,
    objective: Objective = mean_activation,
    penalties: Sequence[Penalty] = (),
    transforms: Sequence[Transform] = (),
    constraints: Sequence[Constraint] = (Clip(),),
    optimizer: Callable[[Any], optax.GradientTransformation] = optax.adam,
    learning_rate: float = 0.05,
    start: Start = Noise(),
    waking: int | None = None,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Maximized:
    """For each of `units` of `layer`, and from a start for each of `seeds`, the image that gradient ascent finds.

    layer: None: the class logits. units: channels of maps, entries of vectors; None: all. An image depends on its unit
    and seed alone, not on which others are asked for, but for penalties that compare starts (`Diversity`).
    optimizer: from the learning rate to an Optax chain, optax.sgd say. waking: in so many first steps a unit that gets
    no gradient is woken (`waking_relu`), 16 in lucid; None: in half of them, as a blur puts weak units to sleep again,
    and in none where the model does not compute through an `OpSet`.
    on_progress: told how many units each chunk has finished. Other units, seeds (as many), weights of the network and
    learning rates run the same program.

    Raises ValueError for a layer or unit that does not exist, no seeds, a number out of range, what `objective` and
    `penalties` refuse, and for waking a model that does not compute through an `OpSet`.
    """
    view = View.of(network)
    require(steps >= 0, "steps", steps, "0 or more")
    require(len(seeds) >= 1, "seeds", seeds, "one or more")
    require(0 < learning_rate < inf, "learning_rate", learning_rate, "a positive number")
    waking = ((steps + 1) // 2 if hasattr(view.model, "ops") else 0) if waking is None else waking
    require(waking >= 0, "waking", waking, "0 or more")
    awake = view.replace_ops(relu=waking_relu) if waking else view
    units = None if units is None else list(units)
    require(units != [], "units", units, "one or more")
    units = _classes(view, units) if layer is None else view.units(layer, units)
    climb = partial(
        _climb, view, awake, np.asarray(learning_rate, view.dtype), layer=layer, objective=objective, steps=steps,
        penalties=tuple(penalties), transforms=tuple(transforms), constraints=tuple(constraints), optimizer=optimizer,
        start=start, waking=min(waking, steps),
    )  # fmt: skip
    with view.precision():
        size = max(view.chunk(memory) // len(seeds), 1)
        found = in_chunks(climb, (units, _keys(units, seeds)), size=size, on_progress=on_progress)
    return Maximized(layer, units, tuple(seeds), *found)


def maximize_classes(
    network: Trained | View, classes: Iterable[int] | None = None, *, ink: float = 0.0, **settings: Any
) -> Maximized:
    """`maximize_units` of class logits, less `ink` · Σ|x| over pixels from 0 to 1 (Lee, Machine Learning 2016, as for
    digits: without it, what excites a class most looks like noise). settings: those of `maximize_units`.

    Raises ValueError as that does, and for a negative ink.
    """
    require(0 <= ink < inf, "ink", ink, "0 or more")
    penalties = (*([Ink(ink)] if ink else []), *settings.pop("penalties", ()))
    return maximize_units(network, None, classes, penalties=penalties, **settings)


def usual_ink(network: Trained | View, images: Any, labels: Any, *, share: float = 0.25, memory: int = MEMORY) -> float:
    """An ink penalty that suits the network: `share` of the mean |slope| of the logit of each image's label, over all
    pixels of `images` [N, H, W, C] with `labels` [N]. A penalty far above it leaves black, one far below it noise.

    Raises ValueError for other images and labels, and a share that is not positive.
    """
    require(0 < share < inf, "share", share, "a positive number")
    view = View.of(network)
    with view.precision():
        images = view.images(images)
        items = images, view.labels(labels, len(images))
        return share * float(in_chunks(partial(_mean_slopes, view), items, size=view.chunk(memory)).mean())


@jax.jit
def _mean_slopes(view: View, items: tuple[Array, Array]) -> Array:
    """[N], of each image."""
    images, labels = items

    def own(images: Array) -> Array:
        return jnp.take_along_axis(view.logits(images), labels[:, None], axis=1).sum()

    return jnp.abs(jax.grad(own)(images)).mean(axis=(1, 2, 3))


def _classes(view: View, classes: Sequence[int] | None) -> np.ndarray:
    count = len(view.class_names)
    require(count >= 1, "layer", None, "a layer's name, for this view has no classes")
    found = np.arange(count) if classes is None else np.asarray(classes)
    return np.asarray(view.labels(found, len(found)))


def _keys(units: np.ndarray, seeds: Sequence[int]) -> Array:
    """[U, S], by unit and seed alone."""
    roots = jnp.stack([jax.random.key(seed) for seed in seeds])
    return jax.vmap(lambda unit: jax.vmap(jax.random.fold_in, (0, None))(roots, unit))(jnp.asarray(units))


@partial(
    jax.jit,
    static_argnames=("layer", "objective", "steps", "penalties", "transforms", "constraints", "optimizer", "start",
                     "waking"),
)  # fmt: skip
def _climb(view, awake, learning_rate, chunk, *, layer, objective, steps, penalties, transforms, constraints, optimizer,
           start, waking):  # fmt: skip
    """The arrays of a `Maximized` for units [U] with keys [U, S]."""

    def reached(values: Array, unit: Array) -> Array:
        return objective(values.astype(view.dtype), unit)

    def score(view: View, unit: Array, keys: Array, images: Array) -> Array:
        seen = images
        for transform in transforms:
            seen = jax.vmap(transform)(keys, seen)
        results = view.results(seen)
        values = view.logits(seen) if layer is None else results[layer]
        return reached(values, unit) - sum(penalty(results, images) for penalty in penalties)

    def of_unit(unit: Array, keys: Array) -> tuple[Array, ...]:
        def slope_in(view):
            def slope(keys, images):
                values, back = jax.vjp(partial(score, view, unit, keys), images)
                return values, back(jnp.ones_like(values))[0]

            return slope

        def slope(step, keys, images):
            if not waking:
                return slope_in(view)(keys, images)
            return lax.cond(step < waking, slope_in(awake), slope_in(view), keys, images)

        at_start, at_steps = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        first = jax.vmap(lambda key: start(key, view.image_shape, view.dtype))(at_start)
        images, objectives = ascend(
            slope, first, at_steps, steps=steps, optimizer=optimizer(learning_rate), constraints=constraints
        )
        logits = view.logits(images) if view.class_names else jnp.zeros((len(images), 0), images.dtype)
        values = view.logits(images) if layer is None else view.at(layer, images)
        return images, objectives.T, reached(values, unit), logits, jax.nn.softmax(logits, axis=1)

    return jax.vmap(of_unit)(*chunk)
