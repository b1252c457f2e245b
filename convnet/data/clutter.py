"""Large canvases on which one object is whole among fragments of others: images for a detector."""

from __future__ import annotations

import numpy as np

from convnet.data.arrays import from_arrays
from convnet.data.dataset import Dataset


def cluttered(objects: np.ndarray, count: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Canvases uint8 [count, side, side, C] of fragments of `objects` [N, S, S, C], in each of which one object is
    whole; and (row, column) of its first pixel, [count, 2].

    A fragment is 2 to 4 pixels high and wide, and there is one for every 60 pixels. Where things overlap the brighter
    pixel is seen, as ink is bright.
    """
    size = objects.shape[1]
    canvases = np.zeros((count, side, side, objects.shape[-1]), np.uint8)
    places = rng.integers(0, side - size + 1, (count, 2))

    def paint(canvas, piece, y, x):
        window = canvas[y : y + len(piece), x : x + piece.shape[1]]
        np.maximum(window, piece, out=window)

    for canvas, place in zip(canvases, places, strict=True):
        for _ in range(side * side // 60):
            h, w = rng.integers(2, 5, 2)
            top, left = rng.integers(0, size + 1 - h), rng.integers(0, size + 1 - w)
            piece = objects[rng.integers(len(objects))][top : top + h, left : left + w]
            paint(canvas, piece, *rng.integers(0, (side - h + 1, side - w + 1)))
        paint(canvas, objects[rng.integers(len(objects))], *place)
    return canvases, places


def crops(canvases: np.ndarray, places: np.ndarray, size: int) -> np.ndarray:
    """The window of size×size pixels that begins at (row, column) on each canvas: [N, size, size, C]."""
    return np.stack([c[y : y + size, x : x + size] for c, (y, x) in zip(canvases, places, strict=True)])


def windows_with_and_without(
    objects: np.ndarray, count: int, rng: np.random.Generator, *, near: int, names: tuple[str, str]
) -> Dataset:
    """To train a detector with: `count` windows of class 1, which hold a whole object, and four times as many of class
    0, which lie elsewhere on the same canvases of three sides; those within `near` pixels of the object are left out.

    names: of class 0 and of class 1.
    """
    size = objects.shape[1]
    canvases, places = (np.repeat(array, 4, axis=0) for array in cluttered(objects, count, 3 * size, rng))
    others = rng.integers(0, 2 * size + 1, places.shape)
    far = np.abs(others - places).max(axis=1) > near
    images = np.concatenate([crops(canvases[::4], places[::4], size), crops(canvases[far], others[far], size)])
    labels = np.repeat([1, 0], [count, far.sum()])
    return from_arrays(f"{names[1]} or {names[0]}", images, labels, class_names=names)
