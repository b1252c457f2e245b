"""Deep dream: a photograph in which a layer of a network sees more of what it sees (Mordvintsev, Olah & Tyka, Google
Research blog, 2015).

deep_dream(network, photographs, "pool3").images          # [N, H, W, C], photographs of any size
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from convnet.analysis.ascent import Clip, Jitter, ascend, gaussian_blur
from convnet.analysis.view import View
from convnet.settings import require
from convnet.trained import Trained

STEP = 1.5 / 255
"""Of pixels from 0 to 1: the original's 1.5, whose pixels go to 255."""

REACH, OF_SIDE = 32, 7
"""The original's jitter in pixels, and the part of the shorter side that it is of 224, which its network was trained
on: smaller octaves are rolled in proportion."""


@dataclass(frozen=True, eq=False)
class Dream:
    """images: [N, H, W, C] in 0 … 1. layer: what was dreamt of. sizes: (H, W) of the octaves, the smallest first.
    objectives: [N, octaves, iterations], ½ of the mean square of the layer that each iteration began with."""

    images: np.ndarray
    layer: str
    sizes: tuple[tuple[int, int], ...]
    objectives: np.ndarray


def deep_dream(
    network: Trained | View,
    images: Any,
    layer: str | None = None,
    *,
    iterations: int = 10,
    octaves: int = 4,
    octave_scale: float = 1.4,
    step: float = STEP,
    smooth: float = 0.0,
    jitter: int | None = None,
    seed: int = 0,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Dream:
    """Ascend ½‖layer‖² from `images` [N, H, W, C] of any size, octave by octave: each is `octave_scale` times as large
    as the one before, the last has the size of the images, and all take over the details that were dreamt before.

    layer: before the network's first dense layer; None: the last one of maps there. step: how far a pixel moves in
    an iteration, in the mean over all. smooth: sigma in pixels of a Gaussian blur of each gradient; the original has
    none, but what a network of small images likes best is the finest pattern there is. jitter: pixels by which the
    image is rolled at most; None: 32, or a seventh of the shorter side where that is less. on_progress: told of each
    octave. No iterations give the images back, exactly. Images of the same size run the same programs.

    Raises ValueError for images, a layer, or numbers that will not do, and for octaves that get too small.
    """
    require(iterations >= 0, "iterations", iterations, "0 or more")
    require(0 < step < inf, "step", step, "a positive number")
    require(0 <= smooth < inf, "smooth", smooth, "0 or a positive number of pixels")
    require(jitter is None or jitter >= 0, "jitter", jitter, "0 or more")
    shape = np.shape(images)[1:]
    require(len(shape) == 3, "images", f"an array {list(np.shape(images))}", "[N, H, W, C]")
    sizes = octave_sizes(shape[:2], octaves, octave_scale)
    views = [_view(network, (*size, shape[2]), octaves) for size in sizes]
    layer = _layer(views[0], layer)
    settings = dict(layer=layer, iterations=iterations, smooth=smooth)
    with views[-1].precision():
        photographs = found = views[-1].images(images)
        detail, objectives = jnp.zeros_like(photographs), []
        for number, (view, size) in enumerate(zip(views, sizes, strict=True)):
            octave = jax.random.fold_in(jax.random.key(seed), number)
            own = jax.vmap(partial(jax.random.fold_in, octave))(jnp.arange(len(photographs)))
            base = _resized(photographs, size)
            reach = min(REACH, min(size) // OF_SIDE) if jitter is None else jitter
            start = base + _resized(detail, size)
            found, values = _dreamt(view, start, own, np.asarray(step, view.dtype), jitter=reach, **settings)
            detail = found - base
            objectives.append(np.asarray(values))
            on_progress(1)
    return Dream(np.asarray(found), layer, sizes, np.stack(objectives, axis=1))


def octave_sizes(size: tuple[int, int], octaves: int, scale: float) -> tuple[tuple[int, int], ...]:
    """(H, W) of each octave of an image of `size`, the smallest first.

    Raises ValueError for no octaves, and a scale that does not make them larger.
    """
    require(octaves >= 1, "octaves", octaves, "1 or more")
    require(1 < scale < inf, "octave_scale", scale, "a factor above 1")
    return tuple(tuple(round(side / scale**k) for side in size) for k in reversed(range(octaves)))


def _view(network: Trained | View, image_shape: tuple[int, int, int], octaves: int) -> View:
    try:
        return View.of(network, image_shape=image_shape)
    except ValueError as error:
        if "does not fit" not in str(error):
            raise
        told = "×".join(map(str, image_shape[:2]))
        raise ValueError(f"octaves is {octaves}: the smallest would be {told}, where {error}") from error


def _layer(view: View, layer: str | None) -> str:
    maps = [name for name, shape in view.layers.items() if len(shape) == 3]
    require(layer is None or layer in maps, "layer", layer, f"one of {', '.join(maps)}")
    return maps[-1] if layer is None else layer


def _resized(images: Array, size: tuple[int, int]) -> Array:
    """Linearly; where it gets smaller, averaging what falls together. Of the same size: itself, to the bit."""
    if images.shape[1:3] == size:
        return images
    return jax.image.resize(images, (len(images), *size, images.shape[3]), "linear")


def step_by_mean(step: float | Array, smooth: float = 0.0) -> optax.GradientTransformation:
    """Steps of `step` · g / mean|g|, g blurred by `smooth` pixels; none where g is 0 all over."""

    def update(gradient: Array, _: Any) -> Array:
        if smooth:
            gradient = gaussian_blur(gradient[None], smooth)[0]
        size = jnp.mean(jnp.abs(gradient))
        return -step * gradient / jnp.where(size > 0, size, jnp.ones_like(size))

    return optax.stateless(update)


@partial(jax.jit, static_argnames=("layer", "iterations", "smooth", "jitter"))
def _dreamt(
    view: View, images: Array, keys: Array, step: Array, *, layer: str, iterations: int, smooth: float, jitter: int
) -> tuple[Array, Array]:
    """One octave: the images after all iterations, and the objectives [N, iterations]."""

    def objective(keys: Array, images: Array) -> Array:
        values = view.at(layer, jax.vmap(Jitter(jitter))(keys, images)).astype(view.dtype)
        return jnp.mean(values.reshape(len(values), -1) ** 2, axis=1) / 2

    def slope(_: Array, keys: Array, images: Array) -> tuple[Array, Array]:
        values, back = jax.vjp(partial(objective, keys), images)
        return values, back(jnp.ones_like(values))[0]

    optimizer = step_by_mean(step, smooth)
    found, values = ascend(slope, images, keys, steps=iterations, optimizer=optimizer, constraints=(Clip(),))
    return found, values.T
