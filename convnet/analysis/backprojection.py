"""What of an image a unit answers to, going back through the network: deconvnet, guided back-propagation, gradient.

projections = backproject(network, images, "conv2_relu", range(16))             # [N, 16, H, W, C]
maps = saliency(network, images, labels)                                        # [N, H, W, C], signed
np.abs(maps).max(axis=-1)                                                       # the picture of Simonyan et al.

The three are one backward pass with three relus. g is what comes from above, z is what relu read:

    gradient    g · 1[z > 0]            Simonyan et al., ICLR workshop 2014
    deconvnet   max(g, 0)               Zeiler & Fergus, ECCV 2014
    guided      max(g, 0) · 1[z > 0]    Springenberg et al., ICLR workshop 2015

All else has its gradient under each rule. A convolution: its transposed filters, without biases. Max pooling: to where
the maximum was, of equal values to the first in row-major order; a window of zeros, as relu leaves them, is such a tie,
and there the deconvnet rule goes on down at the first place, where the others stop. Average pooling: spread evenly.
Batch norm: times its scale over its running deviation, which turns the sign where the scale is negative. Other norms,
and other activations (leaky_relu, tanh, gelu, …): their slopes. The papers say nothing of these.

Everything is with respect to pixels from 0 to 1, through the normalisation. Under the deconvnet rule, without max
pooling and with a seed that is given, the projection does not depend on the image at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet import ops
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained

Progress = Callable[[int], object]
"""Told how many images each chunk has done."""


# --- three relus ------------------------------------------------------------------------------------------------------


@jax.custom_vjp
def deconvnet_relu(z: Array) -> Array:
    """relu; backward max(g, 0), whatever it was that relu read."""
    return ops.relu(z)


deconvnet_relu.defvjp(lambda z: (ops.relu(z), None), lambda _, g: (jnp.maximum(g, jnp.zeros_like(g)),))


@jax.custom_vjp
def guided_relu(z: Array) -> Array:
    """relu; backward max(g, 0) where z > 0, else 0."""
    return ops.relu(z)


guided_relu.defvjp(
    lambda z: (ops.relu(z), z > 0),
    lambda alive, g: (jnp.where(alive, jnp.maximum(g, jnp.zeros_like(g)), jnp.zeros_like(g)),),
)

RELU_RULES: dict[str, Callable[[Array], Array]] = {
    "gradient": ops.relu,
    "deconvnet": deconvnet_relu,
    "guided": guided_relu,
}


def under_rule(view: View, rule: str) -> View:
    """The same network with the backward pass of `rule`, one of RELU_RULES; for the gradient as it is.

    Raises ValueError for another rule; and for a rule other than the gradient where the model does not compute through
    an `OpSet`, or has no relu for it.
    """
    require(rule in RELU_RULES, "rule", rule, f"one of {', '.join(RELU_RULES)}")
    if rule == "gradient":
        return view
    met: list[Array] = []

    def witness(z: Array) -> Array:
        met.append(z)
        return ops.relu(z)

    _ = view.replace_ops(relu=witness).layers  # traces it
    require(len(met) > 0, "rule", rule, "'gradient' for a network without relu, which the others are rules for")
    return view.replace_ops(relu=RELU_RULES[rule])


# --- projections ------------------------------------------------------------------------------------------------------


def backproject(
    network: Trained | View,
    images: Any,
    layer: str,
    units: Iterable[int] | None = None,
    *,
    rule: str = "guided",
    positions: Any = None,
    memory: int = MEMORY,
    on_progress: Progress = lambda done: None,
) -> np.ndarray:
    """What of each image each unit answers to: [N, U, H, W, C], signed.

    The seed is the activation of the unit at one place of its map, and zero elsewhere: where it is largest, of equal
    values the first in row-major order; or at `positions`, (row, column) of each image and unit, int [N, U, 2]. So a
    unit that is silent on an image gives zeros. Of a vector the unit is its only place. units: None: all.

    Raises ValueError for a layer, unit, place or rule that does not exist, images that the network does not take, and
    as `under_rule` does.
    """
    view = under_rule(View.of(network), rule)
    with view.precision():
        images, units = view.images(images), _units(view, layer, units)
        places = None if positions is None else _places(view, layer, positions, (len(images), len(units)))
        group = min(len(units), view.chunk(memory))
        project = partial(_of_units, view, units, layer=layer, group=group)
        size = max(view.chunk(memory) // group, 1)
        return in_chunks(project, (images, places), size=size, on_progress=on_progress)


def backproject_each(
    network: Trained | View,
    images: Any,
    layer: str,
    units: Iterable[int],
    *,
    rule: str = "guided",
    positions: Any = None,
    memory: int = MEMORY,
    on_progress: Progress = lambda done: None,
) -> np.ndarray:
    """`backproject` of one unit for each image: [N, H, W, C]. units: N of them; positions: int [N, 2].

    Raises ValueError as that does, and for another number of units.
    """
    view = under_rule(View.of(network), rule)
    with view.precision():
        images, units = view.images(images), _units(view, layer, units)
        require(len(units) == len(images), "number of units", len(units), f"{len(images)}, one for each image")
        places = None if positions is None else _places(view, layer, positions, (len(images),))
        project = partial(_of_each, view, layer=layer)
        return in_chunks(project, (images, units, places), size=view.chunk(memory), on_progress=on_progress)


def backproject_seeds(
    network: Trained | View,
    images: Any,
    layer: str,
    seeds: Any,
    *,
    rule: str = "guided",
    memory: int = MEMORY,
    on_progress: Progress = lambda done: None,
) -> np.ndarray:
    """S seeds of one's own for each image, taken back to its pixels: [N, S, H, W, C].

    seeds: [N, S, …], each of the layer's shape: what would be dL/d(result of the layer) under the gradient rule.

    Raises ValueError as `backproject` does, and for seeds of another shape or that are not finite.
    """
    view = under_rule(View.of(network), rule)
    with view.precision():
        images = view.images(images)
        view.units(layer)  # raises where there is no such layer
        shape, seeds = view.layers[layer], np.asarray(seeds, view.dtype)
        if seeds.shape != (len(images), *seeds.shape[1:2], *shape) or not seeds.size:
            told = ", ".join(map(str, shape))
            raise ValueError(f"seeds have shape {list(seeds.shape)}: expected [{len(images)}, S, {told}], S at least 1")
        if not np.isfinite(seeds).all():
            raise ValueError("seeds hold what is no finite number: expected finite ones")
        group = min(seeds.shape[1], view.chunk(memory))
        project = partial(_of_seeds, view, layer=layer, group=group)
        size = max(view.chunk(memory) // group, 1)
        return in_chunks(project, (images, seeds), size=size, on_progress=on_progress)


def saliency(
    network: Trained | View,
    images: Any,
    labels: Any = None,
    *,
    rule: str = "gradient",
    memory: int = MEMORY,
    on_progress: Progress = lambda done: None,
) -> np.ndarray:
    """dy_c/dx of the logit y_c of a class, not of its probability: [N, H, W, C], under another rule its projection.

    It is signed. Simonyan et al. draw the largest absolute value over the channels, `np.abs(maps).max(axis=-1)`;
    captum's `Saliency` takes the absolute value unless told abs=False. labels: [N] classes; None: those predicted.

    Raises ValueError for a rule or class that does not exist, a view without classes, images that the network does not
    take, and as `under_rule` does.
    """
    view = under_rule(View.of(network), rule)
    require(len(view.class_names) > 0, "network", "a view without classes", "one that has logits")
    with view.precision():
        images = view.images(images)
        labels = None if labels is None else view.labels(labels, len(images))
        return in_chunks(
            partial(_of_logits, view), (images, labels), size=view.chunk(memory), on_progress=on_progress
        )  # fmt: skip


def _units(view: View, layer: str, units: Iterable[int] | None) -> np.ndarray:
    found = view.units(layer, units)
    require(len(found) > 0, "units", [], "one or more")
    return found


def _places(view: View, layer: str, positions: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Positions (row, column) as places of the flattened map: int [...] of `shape`."""
    sides, positions = view.layers[layer][:-1], np.asarray(positions)
    if len(sides) != 2:
        raise ValueError(f"positions are given, and {layer} has no map: expected None")
    if positions.shape != (*shape, 2) or not np.issubdtype(positions.dtype, np.integer):
        raise ValueError(f"positions are {positions.dtype} {list(positions.shape)}: expected int {[*shape, 2]}")
    outside = positions[((positions < 0) | (positions >= np.array(sides))).any(axis=-1)]
    if len(outside):
        told = f"places of the {sides[0]}×{sides[1]} map of {layer}"
        raise ValueError(f"positions hold {tuple(outside[0].tolist())}: expected {told}")
    return (positions[..., 0] * sides[1] + positions[..., 1]).astype(np.int32)


# --- compiled ---------------------------------------------------------------------------------------------------------


def flat_places(values: Array) -> Array:
    """Results of a layer with one axis for the places of a map: [B, P, K]; a vector has one place."""
    return values.reshape(len(values), prod(values.shape[1:-1]), values.shape[-1])


def _seed(values: Array, unit: Array, place: Array) -> Array:
    """`values` at one unit and place of each image, and zero elsewhere. unit, place: [B]."""
    flat, each = flat_places(values), jnp.arange(len(values))
    return jnp.zeros_like(flat).at[each, place, unit].set(flat[each, place, unit]).reshape(values.shape)


@partial(jax.jit, static_argnames=("layer", "group"))
def _of_units(view: View, units: Array, chunk: Any, *, layer: str, group: int) -> Array:
    """[B, U, H, W, C], `group` units at a time."""
    images, places = chunk
    values, back = jax.vjp(partial(view.at, layer), images)
    if places is None:
        places = jnp.argmax(flat_places(values), axis=1)[:, units]

    def of_unit(unit_and_places: tuple[Array, Array]) -> Array:
        unit, place = unit_and_places
        return back(_seed(values, jnp.full_like(place, unit), place))[0]

    return jnp.moveaxis(lax.map(of_unit, (units, places.T), batch_size=group), 0, 1)


@partial(jax.jit, static_argnames="layer")
def _of_each(view: View, chunk: Any, *, layer: str) -> Array:
    images, units, places = chunk
    values, back = jax.vjp(partial(view.at, layer), images)
    if places is None:
        own = jnp.take_along_axis(flat_places(values), units[:, None, None], axis=2)
        places = jnp.argmax(own[..., 0], axis=1)
    return back(_seed(values, units, places))[0]


@partial(jax.jit, static_argnames=("layer", "group"))
def _of_seeds(view: View, chunk: Any, *, layer: str, group: int) -> Array:
    images, seeds = chunk
    values, back = jax.vjp(partial(view.at, layer), images)
    seeds = jnp.moveaxis(seeds, 1, 0).astype(values.dtype)
    return jnp.moveaxis(lax.map(lambda seed: back(seed)[0], seeds, batch_size=group), 0, 1)


@jax.jit
def _of_logits(view: View, chunk: Any) -> Array:
    images, labels = chunk
    logits, back = jax.vjp(view.logits, images)
    labels = jnp.argmax(logits, axis=1) if labels is None else labels
    return back(jax.nn.one_hot(labels, logits.shape[1], dtype=logits.dtype))[0]
