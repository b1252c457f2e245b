"""What of a data set excites a unit most: the patches that it answers to, and what in them it answers to.

The two halves of figure 2 in Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014: the
patches of the images, and beside them what the unit's activation there projects to.

found = top_patches(network, images, "conv2_relu", range(16))
found.patches, found.projections                       # [16, 9, h, w, C] each, NaN beyond the border of the image
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.analysis.backprojection import backproject_each, flat_places, under_rule
from convnet.analysis.receptive_field import Fields, receptive_field_box, receptive_fields
from convnet.analysis.streaming import accumulate
from convnet.analysis.view import MEMORY, View
from convnet.data import check_images
from convnet.ops import ReceptiveField
from convnet.settings import require
from convnet.trained import Trained

PROBES = 16
"""Images that the field of a layer is looked for on, where no table of layers tells it."""

ROUNDING = 1e-6
"""Of the largest gradient: what is less may be what a fast convolution leaves where there is nothing."""


@dataclass(frozen=True, eq=False)
class TopPatches:
    """The images of a data set that excite each of U units most, k of them, the first the most; each image once.

    indices: int [U, k], numbers of images. activations: [U, k], the largest over the places of the unit's map;
    positions: int [U, k, 2], its (row, column), the first in row-major order among equals; (0, 0) of a vector. Of a
    unit that is dead the activations are all the same, and the first images stand for nothing.
    corners: int [U, k, 2], the pixel of the image that is the first of the patch; below 0 where it begins outside.
    patches: [U, k, h, w, C] of the images, from 0 to 1. projections: the same of what the activation projects to,
    signed. Both hold the pixels that the unit can see there, and NaN beyond the border of the image. Where it can see
    as many as the image has, or more, h (or w) is that of the image, whatever the position.
    """

    layer: str
    units: np.ndarray
    rule: str
    indices: np.ndarray
    activations: np.ndarray
    positions: np.ndarray
    corners: np.ndarray
    patches: np.ndarray
    projections: np.ndarray


def top_patches(
    network: Trained | View,
    images: Any,
    layer: str,
    units: Iterable[int] | None = None,
    *,
    count: int = 9,
    rule: str = "guided",
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> TopPatches:
    """The `count` images that excite each unit most, fewer if there are not so many; of equal ones the earlier.

    images: best those that the network was not trained on. rule: how the activation is taken back to the pixels
    (`convnet.analysis.backprojection`); Zeiler & Fergus' is "deconvnet". on_progress: told how many images each chunk
    has been searched; the projections come after that.

    The patch is the layer's receptive field at the position (`receptive_fields`). Of a module without a table of layers
    the field is found by taking gradients back to the pixels of a few of the images.

    Raises ValueError for a layer, unit or rule that does not exist, images that the network does not take, a count
    below 1, as `under_rule` does, and where that search finds no pixel.
    """
    view = View.of(network)
    require(count >= 1, "count", count, "1 or more")
    under_rule(view, rule)  # raises before the search, rather than after it
    with view.precision():
        images, units = check_images(images, view.image_shape), view.units(layer, units)
        require(len(units) > 0, "units", [], "one or more")
        found = _search(view, images, layer, units, min(count, len(images)), memory, on_progress)
        activations, indices, positions = found
        fields = _fields(view, images[:PROBES], layer)
        shown = np.asarray(view.images(images[indices.ravel()]))
    at = positions.reshape(-1, 2)
    projections = backproject_each(
        view, shown, layer, np.repeat(units, indices.shape[1]), rule=rule, memory=memory,
        positions=at if len(view.layers[layer]) == 3 else None,
    )  # fmt: skip
    (rows, _), (columns, _) = receptive_field_box(fields, at.T)
    corners = np.stack([rows, columns], axis=-1)
    shape = (*indices.shape, *(field.size for field in fields), view.image_shape[2])
    patches, projected = (_crops(whole, corners, fields).reshape(shape) for whole in (shown, projections))
    corners = corners.reshape(positions.shape)
    return TopPatches(layer, units, rule, indices, activations, positions, corners, patches, projected)


# --- the search -------------------------------------------------------------------------------------------------------


def _search(
    view: View, images: Array, layer: str, units: np.ndarray, count: int, memory: int, on_progress: Callable
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Activations [U, k], numbers of images [U, k] and positions [U, k, 2] of the `count` largest."""
    nothing = jnp.full((len(units), count), -jnp.inf, view.dtype), *jnp.zeros((2, len(units), count), jnp.int32)

    def merge(best, chunk, counted):
        pixels, numbers = chunk
        return _merge(view, units, best, view.images(pixels), numbers, counted, layer=layer)

    numbers = np.arange(len(images), dtype=np.int32)
    size = view.chunk(memory)
    best = accumulate(merge, nothing, (images, numbers), size=size, on_progress=on_progress)
    activations, indices, places = map(np.asarray, best)
    width = (1, 1, *view.layers[layer])[-2]  # a vector has one place
    return activations, indices, np.stack(np.divmod(places, width), axis=-1)


@partial(jax.jit, static_argnames="layer")
def _merge(
    view: View, units: Array, best: Any, images: Array, numbers: Array, counted: Array, *, layer: str
) -> tuple[Array, Array, Array]:
    """The best so far and those of one chunk more: of each unit the largest activations, and where."""
    values = flat_places(view.at(layer, images))[..., units]  # [B, P, U]
    largest = jnp.where(counted[:, None], values.max(axis=1).astype(best[0].dtype), -jnp.inf)
    found = largest.T, jnp.broadcast_to(numbers, largest.T.shape), values.argmax(axis=1).astype(jnp.int32).T
    both = jax.tree.map(lambda old, new: jnp.concatenate([old, new], axis=1), best, found)
    _, kept = lax.top_k(both[0], best[0].shape[1])  # of equal ones the first, which is the earlier image
    return jax.tree.map(lambda each: jnp.take_along_axis(each, kept, axis=1), both)


# --- the patch --------------------------------------------------------------------------------------------------------


def _fields(view: View, images: Array, layer: str) -> Fields:
    """What a position of the layer sees; all of an axis where that is as large as the image, or larger."""
    if hasattr(view.model, "table"):
        found = receptive_fields(view)[layer]
    elif len(view.layers[layer]) == 3:
        found = tuple(_field(seen) for seen in _seen(view, view.images(images), layer=layer))
    else:
        found = tuple(ReceptiveField(size=side, jump=0) for side in view.image_shape[:2])
    return tuple(
        field if field.size < side else ReceptiveField(size=side, jump=0)
        for field, side in zip(found, view.image_shape[:2], strict=True)
    )


@partial(jax.jit, static_argnames="layer")
def _seen(view: View, images: Array, *, layer: str) -> tuple[Array, Array]:
    """[H', H] and [W', W]: whether any place of a row of the map changes with any pixel of a row of the images; and so
    for columns."""
    values, back = jax.vjp(partial(view.at, layer), images)
    seed = jax.random.normal(jax.random.key(0), values.shape, values.dtype)  # so that no two channels cancel

    def along(axis: int) -> Array:
        length = values.shape[axis]
        shape = [length if i == axis else 1 for i in range(4)]
        only = jax.vmap(lambda line: back(jnp.where((jnp.arange(length) == line).reshape(shape), seed, 0))[0])
        slopes = jnp.abs(only(jnp.arange(length))).max(axis=(1, 4, 4 - axis))
        return slopes > ROUNDING * slopes.max(axis=1, keepdims=True)

    return along(1), along(2)


def _field(seen: np.ndarray) -> ReceptiveField:
    """The field along an axis, of what is `seen` [positions, pixels], which ends at the borders; all of the axis where
    that is too little to tell.

    Raises ValueError where a position sees no pixel.
    """
    seen = np.asarray(seen)
    if not seen.any(axis=1).all():
        raise ValueError(
            "network has no table of layers, and gradients reach no pixel from some places of the layer: expected "
            "images that it answers to"
        )
    positions, side = np.arange(len(seen)), seen.shape[1]
    first, last = seen.argmax(axis=1), side - 1 - seen[:, ::-1].argmax(axis=1)
    begins, ends = first > 0, last < side - 1  # within the image
    steps = [*np.diff(first[begins]), *np.diff(last[ends])]
    if not (begins.any() and ends.any() and steps):
        return ReceptiveField(size=side, jump=0)
    jump = int(np.median(steps))
    start, end = (first - jump * positions)[begins].min(), (last - jump * positions)[ends].max()
    return ReceptiveField(size=int(end - start + 1), jump=jump, start=int(start))


def _crops(images: np.ndarray, corners: np.ndarray, fields: Fields) -> np.ndarray:
    """[M, h, w, C] of images [M, H, W, C] from their corners [M, 2] on; NaN outside."""
    at = [corners[:, axis, None] + np.arange(field.size) for axis, field in enumerate(fields)]
    inside = [(each >= 0) & (each < side) for each, side in zip(at, images.shape[1:3], strict=True)]
    rows, columns = (np.where(real, each, 0) for real, each in zip(inside, at, strict=True))
    found = images[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return np.where((inside[0][:, :, None] & inside[1][:, None, :])[..., None], found, np.nan).astype(images.dtype)
