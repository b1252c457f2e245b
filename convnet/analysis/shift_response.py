"""What a shift of the image does: to a convolution, and to a layer's maps and what reduces them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax import Array

from convnet import HAND
from convnet.analysis.handmade import linear_accuracy
from convnet.analysis.view import View
from convnet.data import Split


def equivariance_error(images: np.ndarray, kernel: np.ndarray, *, stride: int, shift: int) -> float:
    """How far the map of images [N, H, W, C] that have moved by `shift` columns is from the nearest shift of their map,
    away from borders, relative to the largest value."""
    still, moved = (np.asarray(HAND.conv2d(x, kernel, stride=stride)) for x in (images, np.roll(images, shift, axis=2)))
    inside = slice(len(kernel) + shift, -len(kernel) - shift)
    found = [np.abs(np.roll(still, s, axis=2) - moved)[:, inside, inside].max() for s in range(shift + 1)]
    return float(min(found) / np.abs(still).max())


def shift_response(
    view: View, layer: str, reductions: Mapping[str, Callable[[Array], Array]], train: Split, test: Split, *, reach: int
) -> np.ndarray:
    """Of each reduction of a layer's maps, [reductions, 2]: how far a shift by 1 pixel takes the test images' features,
    over the way to another image, in all four directions; and the accuracy with which a linear probe tells by how many
    rows an image was moved, up to `reach` either way.

    Images need an empty border of `reach` pixels, as they move around it.
    """

    @jax.jit
    def reduced(view: View, images: Array) -> dict[str, Array]:
        maps = view.at(layer, images)
        return {name: reduce(maps).reshape(len(maps), -1) for name, reduce in reductions.items()}

    rng, images = np.random.default_rng(0), test.images
    still = reduced(view, view.images(images))
    moved = [reduced(view, view.images(np.roll(images, by, axis))) for axis in (1, 2) for by in (-1, 1)]
    rows, seen = [], []
    for split in (train, test):
        by = rng.integers(-reach, reach + 1, (2, len(split)))
        canvases = [np.roll(c, (y, x), (0, 1)) for c, y, x in zip(split.images, *by, strict=True)]
        rows.append(by[0] + reach)
        seen.append(reduced(view, view.images(np.stack(canvases))))
    found = []
    for name in reductions:  # jit sorts what it returns
        values, (a, b) = still[name], [features[name] for features in seen]
        step = np.mean([_way(values, other[name]) for other in moved]) / _way(values, np.roll(values, 1, axis=0))
        found.append((step, linear_accuracy(a, rows[0], b, rows[1], strengths=(0.01,)).accuracy))
    return np.array(found)


def _way(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other, axis=1).mean())
