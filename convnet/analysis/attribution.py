"""What attributions of a class's score share: whose score, against which baseline, in which layer, how many at once.

The score of an image is the logit of its class. Many attributions look at many versions of each image (blended, noisy,
with a part hidden); a compiled program takes them in groups, so that whatever is asked, few large batches go through
the network and nothing of the size of all versions is ever in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.analysis.view import View
from convnet.settings import require
from convnet.trained import Trained

IN_CACHE = 64
"""Images of a batch on a CPU, at most: with more, the results of a layer leave the cache before the next reads them."""


# --- what is asked ----------------------------------------------------------------------------------------------------


def checked_labels(view: View, labels: Any, count: int) -> Array | None:
    """`labels` [N], checked; None, for the predicted ones, as it is.

    Raises ValueError for labels that do not fit, and for a view that has no classes.
    """
    require(len(view.class_names) > 0, "network", "a view without classes", "one that has logits")
    return None if labels is None else view.labels(labels, count)


def labels_of(view: View, images: Array, labels: Array | None) -> Array:
    """int32 [N]: `labels`, or the predicted ones for None. For compiled programs."""
    return view.logits(images).argmax(axis=1).astype(jnp.int32) if labels is None else labels


def baselines(baseline: Any, images: Array) -> np.ndarray:
    """One for each image, [N, H, W, C] in 0 … 1, from a number, values [C] of the channels, an image [H, W, C], or an
    image for each image.

    Raises ValueError for another shape, and for values outside of 0 … 1 (pixel units, say).
    """
    found, shape = np.asarray(baseline), images.shape
    numbers = np.issubdtype(found.dtype, np.floating) or np.issubdtype(found.dtype, np.integer)
    fits = [shape[-found.ndim :], *([shape] if found.ndim == 4 else [])] if found.ndim else [()]
    if not numbers or found.shape not in fits:
        told = f"a number, [{shape[3]}], [{', '.join(map(str, shape[1:]))}] or {list(shape)}"
        raise ValueError(f"baseline is {found.dtype} {list(found.shape)}: expected {told}")
    if not (found.min() >= 0 and found.max() <= 1):  # also where one is NaN
        raise ValueError(f"baseline holds {found.min():.3g} … {found.max():.3g}: expected values from 0 to 1")
    return np.broadcast_to(found.astype(images.dtype), shape)


def mean_of_data(network: Trained | View) -> np.ndarray:
    """[C] in 0 … 1: the mean of each channel of the data that a network was trained on.

    Raises ValueError for a View, which does not know them.
    """
    if isinstance(network, View):
        raise ValueError("baseline is None: expected values from 0 to 1, as a View does not know the mean of its data")
    return np.asarray(network.task.facts.mean) / 255


def last_maps(view: View) -> str | None:
    """The last layer whose maps [H', W', C'] have several pixels; None where there is none."""
    found = [name for name, shape in view.layers.items() if len(shape) == 3 and prod(shape[:2]) > 1]
    return found[-1] if found else None


def layer_of_maps(view: View, layer: str) -> str:
    """`layer`. Raises ValueError where it does not exist, or has no maps [H', W', C']."""
    layers = view.layers
    maps = [name for name, shape in layers.items() if len(shape) == 3]
    require(layer in layers, "layer", layer, f"one of {', '.join(layers)}")
    require(layer in maps, "layer", layer, f"one with maps, {', '.join(maps)}" if maps else "a network with maps")
    return layer


Box = tuple[int, int, int, int]
"""First row, row behind the last, first column, column behind the last."""


def seen_box(view: View) -> Box:
    """The part of the images that the preprocessing uses: their centre, where that is cut out; of one that has no
    slope anywhere, all."""
    used = np.asarray(_slope(view)).any(axis=(0, 3))
    used = used if used.any() else np.ones_like(used)
    found = [np.flatnonzero(used.any(axis=axis)) for axis in (1, 0)]
    return tuple(int(edge) for at in found for edge in (at.min(), at.max() + 1))


@jax.jit
def _slope(view: View) -> Array:
    grey = jnp.full((1, *view.image_shape), 0.5, view.dtype)
    return jax.grad(lambda image: view.preprocess(image).sum())(grey)


# --- how it is computed -----------------------------------------------------------------------------------------------


def scores(view: View, images: Array, labels: Array) -> Array:
    """[N]: the logit of each image's class."""
    return jnp.take_along_axis(view.logits(images), labels[:, None], axis=1)[:, 0]


def at_once(view: View, images: int, versions: int, memory: int) -> tuple[int, int]:
    """How many images, and how many versions of each, go through the network together."""
    most = view.chunk(memory, most=IN_CACHE if jax.default_backend() == "cpu" else 1024)
    chunk = ceil(images / ceil(images / most))  # the same for all chunks, but for the last one
    return chunk, min(max(most // chunk, 1), versions)


def grouped(values: np.ndarray, size: int, fill: Any = None) -> np.ndarray:
    """`values` [M, …] in groups [ceil(M / size), size, …]; the last is filled up with `fill`, or the last value."""
    missing = -len(values) % size
    rest = np.repeat(values[-1:], missing, axis=0) if fill is None else np.full((missing, *values.shape[1:]), fill)
    return np.concatenate([values, rest.astype(values.dtype)]).reshape(-1, size, *values.shape[1:])


def weighted_gradients(
    view: View, labels: Array, version: Callable[[Array], Array], numbers: Array, weights: Array
) -> Array:
    """[B, H, W, C]: the gradients of the scores at many versions of images, times their weights, summed.

    version: from a number to that version of the images [B, H, W, C]. numbers, weights: [groups, versions at once].
    """

    def add(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        found = jax.vmap(version)(group[0])
        flat, repeated = found.reshape(-1, *found.shape[2:]), jnp.tile(labels, len(found))
        slopes = jax.grad(lambda x: scores(view, x, repeated).sum())(flat).reshape(found.shape)
        return total + jnp.tensordot(group[1], slopes, 1), None

    start = jnp.zeros((len(labels), *view.image_shape), weights.dtype)
    return lax.scan(add, start, (numbers, weights))[0]
