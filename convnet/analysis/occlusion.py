"""Occlusion sensitivity: hide a window of the image, everywhere in turn, and see what the network still says.

Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2 and figure 7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.analysis.attribution import (
    at_once,
    baselines,
    checked_labels,
    grouped,
    labels_of,
    last_maps,
    layer_of_maps,
    mean_of_data,
)
from convnet.analysis.grid import Grid, inside
from convnet.analysis.incremental import Plan, changed_results, plan, surroundings
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.models.perturbed import perturbed
from convnet.ops import Pair
from convnet.trained import Trained


class Answers(NamedTuple):
    """What a network says of images, an array of one shape each.

    logit, probability: of the label. predicted: the class with the largest logit. total: of one map, that which was the
    strongest on the clean image, the sum over positions; None where the network has no maps.
    """

    logit: Any
    probability: Any
    predicted: Any
    total: Any


@dataclass(frozen=True)
class Occlusion:
    """What a network says of images, and of the same where a window is hidden.

    grid: the windows, GH × GW; `grid.per_pixel` makes a map [N, H, W] from one by window [N, GH, GW]. labels: int32
    [N]. layer, unit: whose map the totals are of, the unit int32 [N]; None where the network has no maps.
    clean: [N] each. hidden: [N, GH, GW] each; in Zeiler & Fergus' figure 7, `total` is (b), `probability` (d) and
    `predicted` (e).
    """

    grid: Grid
    labels: np.ndarray
    layer: str | None
    unit: np.ndarray | None
    clean: Answers
    hidden: Answers

    @property
    def logit_drop(self) -> np.ndarray:
        """[N, GH, GW]: how much lower the label's logit is for want of the window."""
        return self.clean.logit[:, None, None] - self.hidden.logit


def occlusion(
    network: Trained | View,
    images: Any,
    labels: Any = None,
    *,
    window: Pair | None = None,
    stride: Pair = 1,
    baseline: Any = None,
    layer: str | None = None,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Occlusion:
    """Hide a window of each image, everywhere in turn, and see what the network says.

    labels: [N], the true classes; None: the predicted ones. window: its side, or (rows, columns); None: a quarter of
    the image's sides, rounded, at least 1 (7 of 28 pixels, 8 of 32). stride: from one window to the next, at most the
    window's side; the last windows are cut off by the border, so that every pixel is hidden at least once.
    baseline: what stands in the window, in the 0 … 1 of the images: a number, values [C], an image [H, W, C], or one
    for each image; None: the mean of each channel of the data that the network was trained on (Zeiler & Fergus' grey).
    layer: whose strongest map is followed, that of the largest sum over positions on the clean image; by name, or None
    for the last whose maps have several pixels.

    Raises ValueError for images, labels, a window, stride, baseline or layer that do not fit, and for no baseline where
    the network is a View, which does not know its data.
    """
    view, grid = View.of(network), Grid.over(View.of(network).image_shape, window, stride)
    layer = last_maps(view) if layer is None else layer_of_maps(view, layer)
    with view.precision():
        images = view.images(images)
        base = baselines(mean_of_data(network) if baseline is None else baseline, images)
        labels = checked_labels(view, labels, len(images))
        size, group = at_once(view, len(images), len(grid.boxes), memory)
        boxes = grouped(grid.boxes, group)
        patches = plan(view, grid.window) if jax.default_backend() == "cpu" else None  # elsewhere not measured

        def computed(chunk: Any) -> Any:
            right, found = _occluded(view, *chunk, boxes, layer=layer, plan=patches)
            return found if right else _occluded(view, *chunk, boxes, layer=layer, plan=None)[1]

        labels, unit, clean, hidden = in_chunks(computed, (images, labels, base), size=size, on_progress=on_progress)
    by_window = jax.tree.map(lambda found: found[:, : len(grid.boxes)].reshape(-1, *grid.counts), hidden)
    return Occlusion(grid, labels, layer, unit, clean, by_window)


@partial(jax.jit, static_argnames=("layer", "plan"))
def _occluded(
    view: View,
    images: Array,
    labels: Array | None,
    base: Array,
    boxes: Array,
    *,
    layer: str | None,
    plan: Plan | None,
) -> tuple[Array, tuple[Array, Array | None, Answers, Answers]]:
    """Whether all is right; labels and strongest map of each clean image [B], what is said of it [B], and with
    windows hidden [B, M].

    boxes: [groups, windows at once, 4]. plan: to compute by patches, which may come out wrong (`changed_results`).
    """
    labels = labels_of(view, images, labels)
    logits, totals = _whole(view, images, layer)
    unit = None if layer is None else totals.argmax(axis=1).astype(jnp.int32)
    clean = None if plan is None else surroundings(view, plan, images)

    def hide(boxes: Array) -> tuple[Array, Answers]:
        versions = jnp.where(inside(boxes, view.image_shape)[:, None], base[None], images[None])
        shape = versions.shape[:2]
        if plan is None:
            found, right = _whole(view, versions.reshape(-1, *versions.shape[2:]), layer), jnp.array(True)
        else:
            logits, maps, right = changed_results(view, plan, clean, versions, boxes, layer)
            found = logits, _totals(maps)
        each = [None if one is None else jnp.broadcast_to(one, shape).reshape(-1) for one in (labels, unit)]
        return right, jax.tree.map(lambda values: values.reshape(shape), _answers(*found, *each))

    right, found = lax.map(hide, boxes)
    hidden = jax.tree.map(lambda values: values.reshape(-1, len(images)).T, found)
    return right.all(), (labels, unit, _answers(logits, totals, labels, unit), hidden)


def _whole(view: View, images: Array, layer: str | None) -> tuple[Array, Array | None]:
    """Logits [M, K], and the total of each map of the layer [M, C]."""
    if layer is None:
        return view.logits(images), None
    logits, maps = perturbed(view.model, view.variables, view.preprocess(images), layer)
    return logits, _totals(maps)


def _totals(maps: Array | None) -> Array | None:
    """[M, C]: of each map the sum over its positions."""
    return None if maps is None else maps.sum(axis=(1, 2))


def _answers(logits: Array, totals: Array | None, labels: Array, unit: Array | None) -> Answers:
    total = None if totals is None else _of_each(totals, unit)
    predicted = logits.argmax(axis=1).astype(jnp.int32)
    return Answers(_of_each(logits, labels), _of_each(jax.nn.softmax(logits), labels), predicted, total)


def _of_each(values: Array, number: Array) -> Array:
    """[M]: of each row of [M, K], one entry."""
    return jnp.take_along_axis(values, number[:, None], axis=1)[:, 0]
