"""What each unit of a layer does over a data set: how its activations are distributed, and which class it answers to.

found = unit_statistics(network, images, "conv2_relu")
found.counts, found.edges, found.dead                             # [U, bins], [U, bins + 1], [U]
class_selectivity(network, images, labels, "conv2_relu").index    # [U], from 0 to 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.analysis.backprojection import flat_places
from convnet.analysis.streaming import accumulate
from convnet.analysis.view import MEMORY, View
from convnet.data import check_images
from convnet.settings import require
from convnet.trained import Trained

# --- how they are distributed -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class UnitStatistics:
    """The activations of U units over N images, every place of a map counting.

    edges: [U, bins + 1]; counts: int [U, bins], bin b holding what is from edge b up to edge b + 1, the last one its
    upper edge too, as `numpy.histogram`. mean, minimum, maximum: [U]. zeros: [U], the share that is exactly 0. dead:
    bool [U], where all activations are the same: after a relu, where it never opens.
    """

    layer: str
    units: np.ndarray
    edges: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    zeros: np.ndarray
    dead: np.ndarray


def unit_statistics(
    network: Trained | View,
    images: Any,
    layer: str,
    units: Iterable[int] | None = None,
    *,
    bins: int = 50,
    edges: Any = None,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> UnitStatistics:
    """How the activations of each unit are distributed over a data set.

    edges: rising numbers, [bins + 1] for all units or [U, bins + 1], so that other data or another network can be
    compared; None: `bins` of one width, from each unit's least activation to its largest (of a dead unit, ½ to both
    sides). What lies outside of the edges is in no bin. The images go through the network twice, and on_progress is
    told how many images each chunk has done, both times.

    Raises ValueError for a layer or unit that does not exist, images that the network does not take, bins below 1, and
    edges that do not rise.
    """
    view = View.of(network)
    require(bins >= 1, "bins", bins, "1 or more")
    with view.precision():
        images, units = check_images(images, view.image_shape), view.units(layer, units)
        given = None if edges is None else _edges(edges, len(units), view.dtype)
        settings = dict(size=view.chunk(memory), on_progress=on_progress)

        def moments(total, chunk, counted):
            return _join(total, _moments(view, units, view.images(chunk), counted, layer=layer))

        low, high, sums, zeros = accumulate(moments, None, images, **settings)
        edges = _even_edges(low, high, bins) if given is None else given

        def count(total, chunk, counted):
            return total + np.asarray(_counts(view, units, edges, view.images(chunk), counted, layer=layer))

        counts = accumulate(count, np.int64(0), images, **settings)
    values = len(images) * prod(view.layers[layer][:-1])
    return UnitStatistics(layer, units, edges, counts, sums / values, low, high, zeros / values, low == high)


def _edges(edges: Any, units: int, dtype: Any) -> np.ndarray:
    found = np.asarray(edges, dtype)
    if found.shape[:-1] not in ((), (units,)) or found.ndim < 1 or found.shape[-1] < 2:
        raise ValueError(f"edges have shape {list(found.shape)}: expected [bins + 1] or [{units}, bins + 1]")
    if not (np.diff(found, axis=-1) > 0).all():  # also where one is NaN
        raise ValueError("edges do not rise: expected each to be larger than the one before it")
    return np.broadcast_to(found, (units, found.shape[-1]))


def _even_edges(low: np.ndarray, high: np.ndarray, bins: int) -> np.ndarray:
    around = np.where(low == high, 0.5, 0).astype(low.dtype)
    return np.linspace(low - around, high + around, bins + 1, axis=1, dtype=low.dtype)


def _join(total: tuple | None, found: tuple[Array, ...]) -> tuple[np.ndarray, ...]:
    """Minima, maxima, sums and counts of one chunk more. Sums in float64: those of float32 would stop growing."""
    low, high, sums, zeros = map(np.asarray, found)
    sums, zeros = sums.astype(np.float64), zeros.astype(np.int64)
    if total is None:
        return low, high, sums, zeros
    return np.minimum(total[0], low), np.maximum(total[1], high), total[2] + sums, total[3] + zeros


def _values(view: View, units: Array, images: Array, layer: str) -> Array:
    """[B, P, U], at least float32."""
    found = flat_places(view.at(layer, images))[..., units]
    return found.astype(jnp.promote_types(found.dtype, jnp.float32))


@partial(jax.jit, static_argnames="layer")
def _moments(view: View, units: Array, images: Array, counted: Array, *, layer: str) -> tuple[Array, ...]:
    """Minimum, maximum, sum and number of zeros of each unit: [U] each."""
    values, real = _values(view, units, images, layer), counted[:, None, None]
    low = jnp.where(real, values, jnp.inf).min(axis=(0, 1))
    high = jnp.where(real, values, -jnp.inf).max(axis=(0, 1))
    zero = jnp.zeros_like(values)
    return low, high, jnp.where(real, values, zero).sum(axis=(0, 1)), (real & (values == zero)).sum(axis=(0, 1))


@partial(jax.jit, static_argnames="layer")
def _counts(view: View, units: Array, edges: Array, images: Array, counted: Array, *, layer: str) -> Array:
    """[U, bins]: how many are below an edge, less how many are below the one before it."""
    values, real = _values(view, units, images, layer), counted[:, None, None]
    below = lax.map(lambda edge: (real & (values < edge[None, None])).sum(axis=(0, 1)), edges.T)
    last = (real & (values <= edges[None, None, :, -1])).sum(axis=(0, 1))
    return jnp.diff(jnp.concatenate([below[:-1], last[None]]), axis=0).T


# --- which class they answer to ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ClassSelectivity:
    """Which class each of U units answers to.

    means: [U, K], the mean activation over the images of each class, and over the places of a map; NaN for a class
    without images. classes: int [U], the class with the largest mean. index: [U], how much larger it is, from 0 to 1.
    """

    layer: str
    units: np.ndarray
    means: np.ndarray
    classes: np.ndarray
    index: np.ndarray


def class_selectivity(
    network: Trained | View,
    images: Any,
    labels: Any,
    layer: str,
    units: Iterable[int] | None = None,
    *,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> ClassSelectivity:
    """The class that each unit answers to most, and the class selectivity index (Morcos et al., "On the importance of
    single directions for generalization", ICLR 2018):

        (μ_max − μ_−max) / (μ_max + μ_−max)

    with μ_max the largest class mean and μ_−max the mean of the other classes' means. 0: all classes alike; 1: none but
    one. It is made for activations that are not negative, as after a relu: of a unit with a negative class mean, and of
    one that is silent on all images, it is NaN. A unit of no use has an index above 0 as well, by chance: compare with
    shuffled labels, or a network of random weights.

    Raises ValueError for a layer, unit or class that does not exist, and images that the network does not take.
    """
    view = View.of(network)
    with view.precision():
        images, units = check_images(images, view.image_shape), view.units(layer, units)
        labels, classes = np.asarray(view.labels(labels, len(images))), len(view.class_names)

        def add(total, chunk, counted):
            pixels, labels = view.images(chunk[0]), chunk[1]
            return total + np.asarray(_class_sums(view, units, pixels, labels, counted, layer=layer, classes=classes))

        sums = accumulate(
            add, np.float64(0), (images, labels), size=view.chunk(memory), on_progress=on_progress
        )  # fmt: skip
    counts = np.bincount(labels, minlength=classes)
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=np.broadcast_to(counts > 0, sums.shape))
    largest = np.argmax(np.where(np.isnan(means), -np.inf, means), axis=1).astype(np.int32)
    return ClassSelectivity(layer, units, means, largest, _selectivity(means[:, counts > 0]))


def _selectivity(means: np.ndarray) -> np.ndarray:
    """The index [U] of class means [U, K]; NaN where there is none, as of a single class."""
    largest, classes = means.max(axis=1), means.shape[1]
    others = (means.sum(axis=1) - largest) / max(classes - 1, 1)
    defined = (means.min(axis=1) >= 0) & (largest > 0) & (classes > 1)
    return np.divide(largest - others, largest + others, out=np.full_like(largest, np.nan), where=defined)


@partial(jax.jit, static_argnames=("layer", "classes"))
def _class_sums(
    view: View, units: Array, images: Array, labels: Array, counted: Array, *, layer: str, classes: int
) -> Array:
    """[U, K]: the sum over the images of each class."""
    means = _values(view, units, images, layer).mean(axis=1)
    belongs = jax.nn.one_hot(labels, classes, dtype=means.dtype) * counted[:, None]
    return means.T @ belongs
