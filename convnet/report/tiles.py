"""Images made of images, as RGB arrays in [0, 1], before anything is drawn."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps

NO_PIXEL = 230.0


def signed_rgb(weights: np.ndarray, limit: np.ndarray | float | None = None) -> np.ndarray:
    """Signed weights [K, H, W, C] as RGB [K, H, W, 3], zero in the middle of the scale.

    limit: the magnitude at either end of the scale, one number or one per image [K]; None: the largest of all.
    One channel runs from blue through white to red; three are shown as colours, grey being zero; any other number of
    channels is shown by its mean.
    """
    if weights.shape[-1] not in (1, 3):
        weights = weights.mean(axis=-1, keepdims=True)
    limit = np.abs(weights).max() if limit is None else np.asarray(limit).reshape(-1, 1, 1, 1)
    unit = np.clip(0.5 + 0.5 * weights / np.where(limit > 0, limit, 1), 0, 1)
    return unit if unit.shape[-1] == 3 else colormaps["RdBu_r"](unit[..., 0])[..., :3]


def heat_rgb(values: np.ndarray, low: float | None = None, high: float | None = None) -> np.ndarray:
    """[K, H, W] as RGB [K, H, W, 3] from dark at `low` to bright at `high`; None: the smallest and the largest of all.

    NaN (no value) is a light grey.
    """
    low, high = (np.nanmin(values) if low is None else low), (np.nanmax(values) if high is None else high)
    unit = np.clip((values - low) / (high - low if high > low else 1), 0, 1)
    rgb = colormaps["viridis"](np.nan_to_num(unit))[..., :3]
    return np.where(np.isnan(unit)[..., None], NO_PIXEL / 255, rgb)


def class_rgb(labels: np.ndarray) -> np.ndarray:
    """Classes [K, H, W] as RGB [K, H, W, 3]: ten colours, which come again after them."""
    return colormaps["tab10"](np.asarray(labels) % 10)[..., :3]


def pixel_rgb(images: np.ndarray) -> np.ndarray:
    """Raw pixels in 0 … 255, [K, H, W, C], as RGB [K, H, W, 3]; NaN (no pixel) is a light grey.

    Three channels are shown as colours; any other number of channels is shown by its mean, in grey.
    """
    unit = np.clip(np.nan_to_num(np.asarray(images, np.float64), nan=NO_PIXEL) / 255, 0, 1)
    return unit if unit.shape[-1] == 3 else np.repeat(unit.mean(axis=-1, keepdims=True), 3, axis=-1)


def grid(tiles: np.ndarray, *, columns: int, gap: int = 1) -> np.ndarray:
    """RGB tiles [K, H, W, 3] in reading order, white gaps between: [R·(H + gap) − gap, columns·(W + gap) − gap, 3]."""
    count, height, width, _ = tiles.shape
    rows = -(-count // columns)
    canvas = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, 3))
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas
