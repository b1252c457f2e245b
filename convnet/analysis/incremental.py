"""What a network says of images of which a box has changed: only what the box reaches is computed anew.

A change of h rows reaches at most (h + span − 2) // stride + 1 rows of what a convolution or pooling makes of them. So
layer by layer the changed patch is put into what surrounds it on the unchanged image, and goes through the layer alone;
from the first layer on that looks at the whole image, all is computed. The results are the same to rounding.

Nakandala, Kumar & Papakonstantinou, "Incremental and Approximate Inference for Faster Occlusion-based Deep CNN
Explanations", SIGMOD 2019, do it for the same purpose.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from convnet import models
from convnet.analysis.attribution import seen_box
from convnet.analysis.view import View
from convnet.architectures import layers as kinds
from convnet.architectures import shapes
from convnet.models.perturbed import perturbed
from convnet.ops import Window

POINTWISE = (kinds.Activation, kinds.BatchNorm, kinds.LayerNorm, kinds.LocalResponseNorm, kinds.Dropout)
"""Layers that look at one position at a time; batch normalisation does, with running statistics."""

WORTH = 0.75
"""The share of a network's multiplications that must at most be left: finding and filling the patches costs, too."""


# --- which layers -----------------------------------------------------------------------------------------------------


def reach(window: Window, size: int) -> int:
    """How many results a change of `size` neighbouring elements may change, at most."""
    return min((size + window.span - 2) // window.stride + 1, window.output)


class Plan(NamedTuple):
    """layers: the first of a network, that are computed by patches. window: rows and columns of the first patch.
    corner: first row and column of the part of the image that the model sees."""

    layers: tuple[kinds.Layer, ...]
    window: tuple[int, int]
    corner: tuple[int, int]


def plan(view: View, window: tuple[int, int]) -> Plan | None:
    """How to compute by patches where boxes of that size change. None where that saves too little, for a model without
    a table of layers, and where the model sees another size than the image, or a part of it, has."""
    if not hasattr(view.model, "table"):
        return None
    shape, (top, bottom, left, right) = view.placed[0].input, seen_box(view)
    if shape[:2] != (bottom - top, right - left):
        return None
    start = box = min(window[0], shape[0]), min(window[1], shape[1])
    leading, saved = [], 0.0
    for layer in view.model.table(shape):
        after = shapes.output_shape(layer, shape)
        if isinstance(layer, kinds.Conv | kinds.Pool):
            axes = shapes.spatial(layer, shape)
            if not all(_by_patches(layer, window) for window in axes):
                break
            box = reach(axes[0], box[0]), reach(axes[1], box[1])
            placed = shapes.Placed(layer.name, layer, shape, after)
            saved += shapes.multiply_adds(placed) * (1 - prod(box) / prod(after[:2]))
        elif not isinstance(layer, POINTWISE):
            break
        leading.append(layer)
        shape = after
    total = sum(map(shapes.multiply_adds, view.placed))
    return Plan(tuple(leading), start, (top, left)) if saved > (1 - WORTH) * total else None


def _by_patches(layer: kinds.Conv | kinds.Pool, window: Window) -> bool:
    """Whether windows leave out nothing between them, and padding is of zeros."""
    lo, hi = window.lo, window.hi
    return window.span >= window.stride and min(lo, hi) >= 0 and (lo == hi == 0 or isinstance(layer, kinds.Conv))


# --- by patches -------------------------------------------------------------------------------------------------------


class Surroundings(NamedTuple):
    """Of unchanged images, by name of the layer: what each convolution and pooling reads, padded, and every result.

    seen: what the model sees of the images.
    """

    seen: Array
    read: dict[str, Array]
    results: dict[str, Array]


def surroundings(view: View, plan: Plan, images: Array) -> Surroundings:
    seen, results, read = view.preprocess(images), view.results(images), {}
    below = seen
    for layer in plan.layers:
        if isinstance(layer, kinds.Conv | kinds.Pool):
            # Behind the end as much again as a stride may leave over, so that no patch is cut off.
            sides = [(axis.lo, axis.hi + axis.stride - 1) for axis in shapes.spatial(layer, below.shape[1:])]
            read[layer.name] = jnp.pad(below, [(0, 0), *sides, (0, 0)])
        below = results.get(_name(layer), below)
    return Surroundings(seen, read, {name: results[name] for layer in plan.layers if (name := _name(layer))})


class Patches(NamedTuple):
    """values: [P, B, h, w, C], of P boxes in each of B images; top, left: [P], where they lie in the whole map."""

    values: Array
    top: Array
    left: Array

    def set_into(self, maps: Array) -> Array:
        """[P, B, H, W, C]: `maps` of that shape, with the patches in their places."""

        def one(maps: Array, values: Array, top: Array, left: Array) -> Array:
            return lax.dynamic_update_slice(maps, values.astype(maps.dtype), (0, top, left, 0))

        return jax.vmap(one)(maps, *self)


def _cut(maps: Array, top: Array, left: Array, size: tuple[int, int]) -> Array:
    """[B, h, w, C] of [B, H, W, C]."""
    return lax.dynamic_slice(maps, (0, top, left, 0), (len(maps), *size, maps.shape[3]))


def changed_results(
    view: View, plan: Plan, clean: Surroundings, images: Array, boxes: Array, layer: str | None
) -> tuple[Array, Array | None, Array]:
    """Logits [P · B, K] of `images`, the maps of `layer`, and whether both are right.

    images: [P, B, H, W, C], those that `clean` is of, changed within one of boxes [P, 4] each; nothing is right where
    the preprocessing makes a change outside of the box from that.
    """
    seen = view.preprocess(_flat(images)).reshape(*images.shape[:2], *clean.seen.shape[1:])
    last = [side - size for side, size in zip(seen.shape[2:4], plan.window, strict=True)]
    corners = [jnp.clip(boxes[:, i] - plan.corner[i], 0, last[i]) for i in range(2)]
    patches = Patches(jax.vmap(partial(_cut, size=plan.window))(seen, *corners), *corners)
    right = (patches.set_into(_repeated(clean.seen, len(boxes))) == seen).all()

    maps, below = None, clean.seen
    for one in plan.layers:
        patches = _through(view, one, clean, patches, below.shape[1:])
        below = clean.results.get(_name(one), below)
        if layer is not None and _name(one) == layer:
            maps = _flat(patches.set_into(_repeated(below, len(boxes))))
    whole = _flat(patches.set_into(_repeated(below, len(boxes))))
    rest = _part(view, view.model.table(clean.seen.shape[1:])[len(plan.layers) :])
    if layer is None or maps is not None:
        logits = rest.apply(view.variables, whole)
    else:
        logits, maps = perturbed(rest, view.variables, whole, layer)
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32)), maps, right


def _through(view: View, layer: kinds.Layer, clean: Surroundings, patches: Patches, shape: tuple[int, ...]) -> Patches:
    """The patches of what `layer` makes of maps of `shape`."""
    if not isinstance(layer, kinds.Conv | kinds.Pool):
        found = _part(view, (layer,)).apply(view.variables, _flat(patches.values))
        return patches._replace(values=found.reshape(*patches.values.shape[:2], *found.shape[1:]))
    starts, corners, inner, sizes = [], [], [], []
    axes = zip(shapes.spatial(layer, shape), patches[1:], patches.values.shape[2:4], strict=True)
    for axis, first, side in axes:
        count = reach(axis, side)
        # The first result that reads the patch; further up where the last ones would lie behind the end.
        start = jnp.clip(-((axis.span - 1 - axis.lo - first) // axis.stride), 0, axis.output - count)
        starts.append(start)
        corners.append(start * axis.stride)
        inner.append(first + axis.lo - start * axis.stride)
        sizes.append((count - 1) * axis.stride + axis.span + axis.stride - 1)
    around = jax.vmap(partial(_cut, size=tuple(sizes)), (None, 0, 0))(clean.read[layer.name], *corners)
    filled = Patches(patches.values, *inner).set_into(around)
    found = _part(view, (replace(layer, padding="VALID"),)).apply(view.variables, _flat(filled))
    return Patches(found.reshape(*filled.shape[:2], *found.shape[1:]), *starts)


def _part(view: View, layers: tuple[kinds.Layer, ...]) -> models.Trunk:
    """Some layers of the network, as a model."""
    return models.Trunk(layers=layers, ops=view.model.ops, precision=view.model.precision, parent=None)


def _name(layer: kinds.Layer) -> str | None:
    return getattr(layer, "name", None)


def _flat(values: Array) -> Array:
    return values.reshape(-1, *values.shape[2:])


def _repeated(maps: Array, times: int) -> Array:
    return jnp.broadcast_to(maps[None], (times, *maps.shape))
