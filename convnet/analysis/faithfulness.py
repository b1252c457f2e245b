"""Does an explanation point at what the network uses? Deletion and insertion curves (Petsiuk et al., BMVC 2018).

found = deletion_insertion(network, images, maps, labels)
found.deletion.auc, found.insertion.auc            # [N]: low and high are good
found.random_deletion.auc                          # [orders, N]: what a map that knows nothing gets
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

from convnet.analysis.attribution import at_once, baselines, checked_labels, labels_of, mean_of_data
from convnet.analysis.view import MEMORY, View, in_chunks
from convnet.settings import require
from convnet.trained import Trained


class Curve(NamedTuple):
    """What is left of the class, [..., steps + 1]: its logit and its probability after each step, first before any."""

    logit: np.ndarray
    probability: np.ndarray

    @property
    def auc(self) -> np.ndarray:
        """[...]: the area under the probability by the trapezoid rule, over a share of pixels from 0 to 1."""
        return np.trapezoid(self.probability, dx=1 / (self.probability.shape[-1] - 1), axis=-1)


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """Curves of N images in the order of a map, and in R random orders.

    pixels: [steps + 1], how many pixels are changed after each step. labels: int32 [N]. deletion, insertion: [N, …];
    random_deletion, random_insertion: [R, N, …].
    """

    pixels: np.ndarray
    labels: np.ndarray
    deletion: Curve
    insertion: Curve
    random_deletion: Curve
    random_insertion: Curve


def deletion_insertion(
    network: Trained | View,
    images: Any,
    maps: Any,
    labels: Any = None,
    *,
    baseline: Any = None,
    steps: int = 32,
    random: int = 8,
    seed: int = 0,
    memory: int = MEMORY,
    on_progress: Callable[[int], object] = lambda done: None,
) -> Faithfulness:
    """The class's logit and probability while pixels are deleted, and inserted, the most important first.

    maps: [N, H, W], larger where more depends on the pixel, or [N, H, W, C], whose channels are summed; a pixel goes
    with all of its channels, of equal ones the first in row-major order. Deletion begins with the image and ends with
    the baseline; insertion goes the other way. baseline: as of `occlusion`; None: the mean of each channel of the data.
    (Petsiuk et al. insert into a blurred image; here both ends are the same, so that one curve read backwards is the
    other in the opposite order.) steps: into which all pixels are divided as evenly as can be, at most one for each.
    random: so many random orders, the same for all images. on_progress: told how many images each chunk has done.

    Raises ValueError for images, maps, labels or a baseline that do not fit, and for a number out of range.
    """
    view = View.of(network)
    require(random >= 1, "random", random, "1 order or more")
    with view.precision():
        images = view.images(images)
        ranks = _ranks(_checked(maps, images.shape))
        count, pixels = len(images), ranks.shape[1]
        require(1 <= steps <= pixels, "steps", steps, f"from 1 to the {pixels} pixels of an image")
        labels = checked_labels(view, labels, count)
        base = baselines(mean_of_data(network) if baseline is None else baseline, images)
        orders = [np.random.default_rng((seed, number)).permutation(pixels) for number in range(random)]
        ends = np.round(np.linspace(0, pixels, steps + 1)).astype(np.int32)
        size, group = at_once(view, count, 2 * (random + 1) * (steps + 1), memory)
        curves = partial(_curves, view, jnp.asarray(orders, jnp.int32), jnp.asarray(ends), group=group)
        items = (images, base, ranks, labels)
        labels, logit, probability = in_chunks(curves, items, size=size, on_progress=on_progress)
    curve = {
        (way, own): Curve(*(_of_orders(values[:, way], own) for values in (logit, probability)))
        for way in (0, 1)
        for own in (True, False)
    }
    return Faithfulness(ends, labels, curve[0, True], curve[1, True], curve[0, False], curve[1, False])


def _of_orders(values: np.ndarray, own: bool) -> np.ndarray:
    """Of [N, orders, steps + 1] those of the maps' own order [N, …], or of the random ones [R, N, …]."""
    return values[:, 0] if own else np.moveaxis(values[:, 1:], 1, 0)


@partial(jax.jit, static_argnames="group")
def _curves(view: View, orders: Array, ends: Array, chunk: Any, *, group: int) -> tuple[Array, Array, Array]:
    """Labels [B], and logit and probability, [B, 2, 1 + R, steps + 1] each: deletion, then insertion; the
    own order, then the random ones.

    orders: [R, P], the rank of each pixel in each random order. ends: pixels that are changed after each step.
    """
    images, base, own, labels = chunk
    labels = labels_of(view, images, labels)
    shape = (2, 1 + len(orders), len(ends))
    ranks = jnp.concatenate([own[None], jnp.broadcast_to(orders[:, None], (len(orders), *own.shape))])
    ranks = ranks.reshape(*ranks.shape[:2], *images.shape[1:3], 1)

    def answer(place: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        way, order, step = place
        changed = ranks[order] < ends[step]
        logits = view.logits(jnp.where(changed == (way == 0), base, images))
        one = partial(jnp.take_along_axis, indices=labels[:, None], axis=1)
        return one(logits)[:, 0], one(jax.nn.softmax(logits, axis=1))[:, 0]

    places = tuple(index.ravel() for index in jnp.indices(shape))
    found = lax.map(answer, places, batch_size=group)
    return labels, *(jnp.moveaxis(values, 0, 1).reshape(len(images), *shape) for values in found)


def _checked(maps: Any, shape: tuple[int, ...]) -> np.ndarray:
    """[N, H, W]."""
    maps = np.asarray(maps)
    if maps.shape not in (shape[:3], shape):
        raise ValueError(f"maps have shape {list(maps.shape)}: expected {list(shape[:3])} or {list(shape)}")
    require(bool(np.isfinite(maps).all()), "maps", "not finite", "finite numbers")
    maps = maps.astype(np.float64)  # whole numbers without a sign, too, are put in order by their negatives
    return maps.sum(axis=-1) if maps.ndim == 4 else maps


def _ranks(maps: np.ndarray) -> np.ndarray:
    """[N, H · W] int32: the place of each pixel in the order, the largest value being 0."""
    order = np.argsort(-maps.reshape(len(maps), -1), axis=1, kind="stable")
    return np.argsort(order, axis=1, kind="stable").astype(np.int32)
