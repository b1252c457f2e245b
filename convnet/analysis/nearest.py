"""The images of a set that are nearest to others, in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np


def nearest_images(images: Any, known: Any) -> tuple[np.ndarray, np.ndarray]:
    """The number of the nearest of the `known` images to each of `images`, the first of equals; and its Euclidean
    distance in pixels of 0 … 1: [N] each.

    Both: [N, H, W, C], uint8 or floats from 0 to 1.
    """
    ways = np.linalg.norm(_pixels(images)[:, None] - _pixels(known)[None], axis=2)
    return ways.argmin(axis=1), ways.min(axis=1)


def _pixels(images: Any) -> np.ndarray:
    flat = np.asarray(images, float).reshape(len(images), -1)
    return flat / 255 if np.asarray(images).dtype == np.uint8 else flat
