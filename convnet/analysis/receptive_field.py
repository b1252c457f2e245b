"""What part of the image a unit can see, and what part of that counts.

A layer's theoretical receptive field follows from its table (Araujo et al., "Computing receptive fields of
convolutional neural networks", Distill 2019). The effective one is measured: how much the unit changes with each pixel
(Luo et al., "Understanding the effective receptive field in deep convolutional neural networks", NeurIPS 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet import ops
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.architectures import shapes
from convnet.architectures.layers import Block, Conv, Dense, Flatten, GlobalAvgPool, GroupNorm, Layer, Pool, Residual
from convnet.ops import ReceptiveField
from convnet.settings import require
from convnet.trained import Trained

Fields = tuple[ReceptiveField, ReceptiveField]
"""Along rows and along columns, in pixels of the image."""

COUNTS = 1 - 0.9545
"""Share of the largest value from which a pixel counts: Luo et al.'s, two deviations of a Gaussian leaving so much."""


# --- theoretical ------------------------------------------------------------------------------------------------------


def receptive_fields(network: Trained | View) -> dict[str, Fields]:
    """The receptive field of every named result, in the order of `view.layers`: (rows, columns), in image pixels.

    Position p of a map sees the pixels `start` + p·`jump` … + `size` − 1, of which some may lie outside of the image
    (`receptive_field_box`). A jump of 0: all positions see the same, as after a group normalisation. Where all
    positions come together, in dense layers and global means, the field is all of the image that is read. The field of
    a residual sum holds those of its branches. Where training crops images, pixels are those of the whole image.

    Pixels between the first and the last need not all be seen: dilated windows, and strides beyond the window's side,
    leave holes. And where a stride leaves elements over at the border and a later layer pads, the field holds pixels
    that this padding stands for.

    Raises ValueError for a model without a table of layers, and where images are resized on their way to the model.
    """
    view = View.of(network)
    shape = view.placed[0].input
    seen = tuple(
        range(first, first + side) for first, side in zip(_crop(view, shape[:2]), shape[:2], strict=True)
    )  # fmt: skip
    return dict(_walk(view.model.table(shape), shape, tuple(ReceptiveField(start=axis.start) for axis in seen), seen))


def receptive_field_box(field: Fields, position: Sequence[Any]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """((first row, last row), (first column, last column)) of the pixels that one position of a layer sees, both
    included; they may lie outside of the image.

    field: of `receptive_fields`. position: (row, column) in the layer's map, (0, 0) of a vector; ints, or two arrays of
    ints of one shape, which gives four arrays.
    """
    firsts = [axis.start + p * axis.jump for axis, p in zip(field, position, strict=True)]
    rows, columns = ((first, first + axis.size - 1) for axis, first in zip(field, firsts, strict=True))
    return rows, columns


def _walk(
    layers: Sequence[Layer], shape: shapes.Shape, fields: Fields, seen: tuple[range, range], prefix: str = ""
) -> Generator[tuple[str, Fields], None, Fields]:
    """Yields the name and fields of each result; returns the fields of the last. seen: the pixels that the model is
    given."""
    for layer in layers:
        name = prefix + getattr(layer, "name", "")
        output = shapes.output_shape(layer, shape, prefix)
        if isinstance(layer, Block):
            fields = yield from _walk(layer.layers, shape, fields, seen, f"{name}/")
        elif isinstance(layer, Residual):
            body = yield from _walk(layer.body, shape, fields, seen, f"{name}/")
            shortcut = yield from _walk(layer.shortcut, shape, fields, seen, f"{name}/")
            fields = tuple(map(_union, body, shortcut, _positions(output), seen))
            yield f"{name}/sum", fields
        else:
            fields = _through(layer, shape, fields, seen)
        if hasattr(layer, "name") and not isinstance(layer, Block):
            yield name, fields
        shape = output
    return fields


def _through(layer: Layer, shape: shapes.Shape, fields: Fields, seen: tuple[range, range]) -> Fields:
    match layer:
        case Conv() | Pool():
            windows = shapes.spatial(layer, shape)
            return tuple(_of_field(ops.receptive_field([w]), field) for w, field in zip(windows, fields, strict=True))
        case Dense() | Flatten() | GlobalAvgPool() | GroupNorm():
            return tuple(map(_together, fields, _positions(shape), seen))
    return fields


def _of_field(window: ReceptiveField, field: ReceptiveField) -> ReceptiveField:
    """What a window over a layer sees of the image, of which the layer sees `field`."""
    return ReceptiveField(
        size=field.size + (window.size - 1) * field.jump,
        jump=field.jump * window.jump,
        start=field.start + window.start * field.jump,
    )


def _positions(shape: shapes.Shape) -> tuple[int, int]:
    return shape[:2] if len(shape) == 3 else (1, 1)


def _together(field: ReceptiveField, positions: int, seen: range) -> ReceptiveField:
    """What all positions of an axis see together, without what is padding."""
    first = max(field.start, seen.start)
    end = min(field.start + (positions - 1) * field.jump + field.size, seen.stop)
    return ReceptiveField(size=end - first, jump=0, start=first)


def _union(one: ReceptiveField, other: ReceptiveField, positions: int, seen: range) -> ReceptiveField:
    if one.jump != other.jump:  # one of them sees everything (or, in a strange table, this is an upper bound)
        one, other = (_together(field, positions, seen) for field in (one, other))
    first = min(one.start, other.start)
    end = max(one.start + one.size, other.start + other.size)
    return ReceptiveField(size=end - first, jump=one.jump, start=first)


def _crop(view: View, sides: tuple[int, int]) -> tuple[int, int]:
    """The image's pixel that is the first one of what the model sees, of `sides`."""
    if sides == view.image_shape[:2]:
        return 0, 0
    last = tuple(side - 1 for side in sides)
    with view.precision():
        first, end = (_read(view, corner) for corner in ((0, 0), last))
    if first is None or end is None or tuple(e - f for e, f in zip(end, first, strict=True)) != last:
        told = "×".join(map(str, sides))
        raise ValueError(f"preprocess makes {told} pixels of {view.image_shape}: expected a crop of the image")
    return first


def _read(view: View, corner: tuple[int, int]) -> tuple[int, int] | None:
    """The only pixel of the image that a pixel of the model's input comes from; None where it is not one."""
    image = jnp.full((1, *view.image_shape), 0.5, view.dtype)
    gradient = jax.grad(lambda x: view.preprocess(x)[0, *corner].sum())(image)
    found = np.argwhere(np.asarray(gradient)[0].any(axis=-1))
    return tuple(map(int, found[0])) if len(found) == 1 else None


# --- effective --------------------------------------------------------------------------------------------------------


def effective_receptive_field(
    network: Trained | View,
    images: Any,
    layer: str,
    units: Iterable[int] | None = None,
    *,
    position: tuple[int, int] | None = None,
    squared: bool = False,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> np.ndarray:
    """How much the centre position of a layer changes with each pixel: [H, W], 0 or more.

    A gradient of 1 at all `units` of one position, and 0 elsewhere, is taken back to the pixels (Luo et al., section
    3.1); of that the absolute value, or the square, summed over the image's channels, mean over images. The absolute
    value is in the unit of the layer per 1 of a pixel in 0 … 1.

    images: about twenty do (the paper's number of runs). units: channels; None: all of them. position: (row, column) of
    the layer's map; None: (H' // 2, W' // 2). squared: the square is what the paper's theorem is about: for independent
    weights of mean zero and no nonlinearities its expectation falls off as if all kernels were uniform.

    Raises ValueError for a layer, unit or position that does not exist, and images that the network does not take.
    """
    view = View.of(network)
    with view.precision():
        images, chosen = view.images(images), view.units(layer, units)
        place = _place(view, layer, position)
        seed = np.zeros(view.layers[layer], view.dtype)
        seed[(*place, chosen)] = 1
        found = in_chunks(
            lambda chunk: _slopes(view, chunk, seed, layer=layer, squared=squared),
            images,
            size=view.chunk(memory),
            on_progress=on_progress,
        )
    return found.mean(axis=0, dtype=np.float64).astype(found.dtype)


def effective_size(field: np.ndarray) -> float:
    """The side of a square of as many pixels as count: √#{pixels above 4.55 % of the largest}; 0 for a field of zeros.

    field: [H, W] of `effective_receptive_field`. Luo et al. take 4.55 % of the centre's value, which is the largest in
    their networks; a trained network's centre need not be, nor has a field of even sides a pixel there.
    """
    field = np.asarray(field)
    return float(np.sqrt((field > COUNTS * field.max()).sum()))


def field_extent(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(first row, first column) and (last row, last column) of the pixels of a field [H, W] that count at all."""
    found = np.argwhere(field)
    return found.min(axis=0), found.max(axis=0)


def effective_deviation(field: np.ndarray) -> tuple[float, float]:
    """The standard deviation of a field along rows and along columns, in pixels; 0 for a field of zeros.

    field: [H, W] of `effective_receptive_field`, taken for a distribution. Where all kernels are uniform, of sides k
    and with j pixels from one of their elements to the next, it is √(Σ j²(k² − 1) / 12) (Luo et al., section 2). It
    tells fields of a few layers apart, of which all pixels count in `effective_size`.
    """
    field = np.asarray(field, np.float64)
    total = field.sum()
    shares = (field.sum(axis=1), field.sum(axis=0))
    return tuple(_deviation(share / total) if total > 0 else 0.0 for share in shares)


def uniform_deviation(layers: Sequence[Layer]) -> float:
    """By formula, the deviation along rows of the field of the last of convolutions and average poolings, far from
    borders, where all their kernels are uniform: √(Σ j²(k² − 1) / 12), with k the side of a kernel and j the pixels
    between two of its entries."""
    variance, jump = 0.0, 1
    for layer in layers:
        side = layer.window if isinstance(layer, Pool) else layer.kernel
        variance += (jump * getattr(layer, "dilation", 1)) ** 2 * (side**2 - 1) / 12
        jump *= layer.stride or side  # a pooling without one goes on by its window
    return float(np.sqrt(variance))


def _deviation(shares: np.ndarray) -> float:
    places = np.arange(len(shares))
    return float(np.sqrt(shares @ (places - shares @ places) ** 2))


def _place(view: View, layer: str, position: tuple[int, int] | None) -> tuple[int, ...]:
    sides = view.layers[layer][:-1]
    if position is None:
        return tuple(side // 2 for side in sides)
    found = np.asarray(position)
    fits = found.shape == (len(sides),) and np.issubdtype(found.dtype, np.integer)
    told = f"a place of the {'×'.join(map(str, sides))} map of {layer}" if sides else f"None, as {layer} has no map"
    require(fits and bool(((found >= 0) & (found < sides)).all()), "position", position, told)
    return tuple(found.tolist())


@partial(jax.jit, static_argnames=("layer", "squared"))
def _slopes(view: View, images: Array, seed: Array, *, layer: str, squared: bool) -> Array:
    """[B, H, W]. seed: the gradient at the layer of every image."""
    values, back = jax.vjp(partial(view.at, layer), images)
    (slopes,) = back(jnp.broadcast_to(seed.astype(values.dtype), values.shape))
    return (jnp.square(slopes) if squared else jnp.abs(slopes)).sum(axis=-1)
