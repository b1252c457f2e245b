"""What a layer keeps of an image: images whose features are the same (Mahendran & Vedaldi, CVPR 2015).

found = invert(network, images, ["conv1_relu", "pool2", "logits"], seeds=(0, 1))
found.images                                       # [layers, N, weights, seeds, H, W, C]
found.feature_errors                               # 0: nothing is missing; 1: as far off as another image's features
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
from scipy.spatial.distance import pdist

from convnet import ops
from convnet.analysis.ascent import ascend
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained

NORM_WEIGHT = 0.0090
"""Of the mean of (x / rms)⁶. The authors' 4e-10 Σ x⁶ / (M rms²), for an image of the norm that theirs have in the mean:
27,098 at 227×227 pixels of three colours, which is an rms of 68.9."""

DROPS = (0.5, 0.75)
"""Fractions of the steps after which the step is a tenth of what it was."""

ROUNDS = 10
"""Of the power iteration that finds the largest curvature: at first by some per cent too small a one."""


@dataclass(frozen=True, eq=False)
class Inversion:
    """Images that have the features of N images, in L layers, with V weights of total variation, from S starts.

    images: [L, N, V, S, H, W, C] in the unit of the originals, whose range of 0 … 1 they may leave: clip them to draw
    them. relative_errors: [L, N, V, S], ‖Φ(x) − Φ₀‖ / ‖Φ₀‖. feature_errors: [L, N, V, S], the same distance over
    `distances` [L], the mean distance between the features of two of the N images; NaN where there is but one image.
    objectives: [L, N, V, S, steps], E as each step began with it.
    """

    layers: tuple[str, ...]
    total_variation: tuple[float, ...]
    seeds: tuple[int, ...]
    images: np.ndarray
    relative_errors: np.ndarray
    feature_errors: np.ndarray
    distances: np.ndarray
    objectives: np.ndarray


def invert(
    network: Trained | View,
    images: Any,
    layers: str | Iterable[str],
    *,
    total_variation: Sequence[float] = (0.5, 5.0, 50.0),
    norm_weight: float = NORM_WEIGHT,
    seeds: Sequence[int] = (0,),
    steps: int = 400,
    learning_rate: float = 1.0,
    momentum: float = 0.9,
    center: float | Sequence[float] = 0.5,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Inversion:
    """For each of `layers` and of `images` [N, H, W, C], an image that is smooth and has the same features Φ₀ there.

    E(x) = ‖Φ(x) − Φ₀‖² / ‖Φ₀‖² + λ Σ TV(x) / (M rms²) + norm_weight · mean(((x − center) / rms)⁶)

    for each λ of `total_variation` (the authors': 0.5, 5 and 50 from shallow to deep layers; small images are rougher).
    M is the number of values in an image. center: mid-grey, or a value per channel; the authors subtract the mean of
    the training images, which lies far from half of the pixels of a digit. rms: that of the image less `center`;
    nothing but it and Φ₀ is known of the image.

    x starts as Gaussian noise of that rms around `center`, which depends on the seed alone, and goes downhill with
    `momentum`; after half and three quarters of the steps these become a tenth, and begin without momentum. The first
    are learning_rate / curvature, the largest of E at the start and at the image (by power iteration): 2 (1 + momentum)
    and more may diverge. What comes of an image does not depend on the others. Other images, weights, as many seeds,
    and other numbers run the same program. on_progress: told how many of the L·N·V·S inversions each chunk has done.

    Raises ValueError for images that do not fit, a layer that does not exist, and a number out of range.
    """
    view = View.of(network)
    layers = _layers(view, layers)
    center = _center(view, center)
    weights, seeds = tuple(map(float, total_variation)), tuple(seeds)
    require(len(weights) >= 1 and all(0 <= w < inf for w in weights), "total_variation", weights, "weights, 0 or more")
    require(len(seeds) >= 1, "seeds", seeds, "one or more")
    _check_numbers(norm_weight, steps, learning_rate, momentum)
    with view.precision():
        images = np.asarray(view.images(images))
        numbers = np.asarray([norm_weight, learning_rate, momentum], view.dtype)
        counts = (len(images), len(weights), len(seeds))
        image, weight, seed = (index.ravel() for index in np.indices(counts))
        starts = jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), view.image_shape, view.dtype))
        items = (images[image], np.asarray(weights, view.dtype)[weight], np.asarray(starts(np.asarray(seeds)))[seed])
        size, found = max(view.chunk(memory) // 2, 1), []
        for layer in layers:
            descend = partial(_invert, view, center, numbers, layer=layer, steps=steps)
            found.append(in_chunks(descend, items, size=size, on_progress=on_progress))
        distances = np.asarray([_mean_distance(view, images, layer, memory) for layer in layers])
    inverted, errors, lengths, objectives = (
        np.stack(parts).reshape(len(layers), *counts, *parts[0].shape[1:]) for parts in zip(*found, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # features that are all 0, or all the same
        relative, compared = errors / lengths, errors / distances[:, None, None, None]
    return Inversion(layers, weights, seeds, inverted, relative, compared, distances, objectives)


def _check_numbers(norm_weight: float, steps: int, learning_rate: float, momentum: float) -> None:
    require(0 <= norm_weight < inf, "norm_weight", norm_weight, "0 or more")
    require(steps >= 1, "steps", steps, "1 or more")
    require(0 < learning_rate < inf, "learning_rate", learning_rate, "a positive number")
    require(0 <= momentum < 1, "momentum", momentum, "a number in [0, 1)")


def _layers(view: View, layers: str | Iterable[str]) -> tuple[str, ...]:
    found = (layers,) if isinstance(layers, str) else tuple(layers)
    require(len(found) >= 1, "layers", found, "one layer or more")
    for layer in found:
        require(layer in view.layers, "layers", layer, f"of {', '.join(view.layers)}")
    return found


def _center(view: View, center: float | Sequence[float]) -> np.ndarray:
    """[1, 1, 1, C]."""
    found, channels = np.asarray(center, view.dtype), view.image_shape[2]
    fits = found.shape in ((), (channels,)) and np.isfinite(found).all()
    require(fits, "center", center, f"a number, or one for each of {channels} channels")
    return np.broadcast_to(found, (1, 1, 1, channels))


def _mean_distance(view: View, images: np.ndarray, layer: str, memory: int) -> float:
    """Between the features of two of the images."""
    if len(images) == 1:
        return np.nan
    found = in_chunks(partial(_features, view, layer=layer), images, size=view.chunk(memory))
    return pdist(found.reshape(len(found), -1)).mean()


@partial(jax.jit, static_argnames="layer")
def _features(view: View, images: Array, *, layer: str) -> Array:
    return view.at(layer, images)


@partial(jax.jit, static_argnames=("layer", "steps"))
def _invert(view: View, center: Array, numbers: Array, chunk, *, layer: str, steps: int) -> tuple[Array, ...]:
    """The images, ‖Φ(x) − Φ₀‖, ‖Φ₀‖ and the objectives of each step, of (images, weights, unit noise) [B]."""
    images, weights, noise = chunk
    norm_weight, learning_rate, momentum = numbers
    features = view.at(layer, images)
    values = images[0].size
    rms = jnp.sqrt(_sums((images - center) ** 2) / values)
    # Of an image that is `center` all over, and of dead features, the terms are taken as they are.
    of_pixel = 1 / jnp.where(rms > 0, rms, jnp.ones_like(rms))
    lengths = _sums(features**2)
    of_feature = 1 / jnp.where(lengths > 0, lengths, jnp.ones_like(lengths))

    def energies(x: Array) -> Array:
        fidelity = _sums((view.at(layer, x) - features) ** 2) * of_feature
        roughness = ops.total_variation(x, eps=0.0) / values * of_pixel**2
        size = _sums(((x - center) * of_pixel[:, None, None, None]) ** 6) / values
        return fidelity + weights * roughness + norm_weight * size

    start = center + rms[:, None, None, None] * noise
    largest = jnp.maximum(curvatures(energies, start, noise), curvatures(energies, images, noise))
    rates = learning_rate / jnp.where(largest > 0, largest, jnp.ones_like(largest))

    def slope(_: Array, keys: Array, x: Array) -> tuple[Array, Array]:
        found, back = jax.vjp(energies, x)
        return found, -rates[:, None, None, None] * back(jnp.ones_like(found))[0]

    nothing_random = jax.random.split(jax.random.key(0), len(images))
    x, objectives = ascend(slope, start, nothing_random, steps=steps, optimizer=_downhill(steps, momentum))
    errors = jnp.sqrt(_sums((view.at(layer, x) - features) ** 2))
    return x, errors, jnp.sqrt(lengths), objectives.T


def _downhill(steps: int, momentum: Array) -> optax.GradientTransformation:
    """Gradient descent with momentum, whose steps are 1, and a tenth after each of DROPS, where momentum is lost."""
    drops = [round(at * steps) for at in DROPS]
    rate = optax.piecewise_constant_schedule(1.0, dict.fromkeys(drops, 0.1))

    def kept(step: Array) -> Array:
        return jnp.where(jnp.any(step == jnp.asarray(drops)), jnp.zeros_like(momentum), momentum)

    return optax.inject_hyperparams(optax.sgd)(learning_rate=rate, momentum=kept)


def curvatures(energies: Callable[[Array], Array], x: Array, directions: Array) -> Array:
    """The largest absolute eigenvalue of the Hessian of each of energies(x) [B], each of which depends on its own image
    of x [B, H, W, C] alone, by power iteration from `directions` of the same shape."""

    def gradient(x: Array) -> Array:
        found, back = jax.vjp(energies, x)
        return back(jnp.ones_like(found))[0]

    def turn(direction: Array, _: None) -> tuple[Array, Array]:
        direction = direction / jnp.maximum(jnp.sqrt(_sums(direction**2)), jnp.finfo(x.dtype).tiny)[:, None, None, None]
        bent = jax.jvp(gradient, (x,), (direction,))[1]
        return bent, jnp.sqrt(_sums(bent**2))

    return lax.scan(turn, directions, length=ROUNDS)[1][-1]


def _sums(values: Array) -> Array:
    """[B, …] -> [B]."""
    return values.reshape(len(values), -1).sum(axis=1)
