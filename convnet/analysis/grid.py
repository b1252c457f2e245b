"""Windows over an image, one beside the other, and the maps of what is known of each window."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from convnet.ops import Pair
from convnet.settings import require


@dataclass(frozen=True)
class Grid:
    """Window (i, j) of GH × GW covers `window` pixels from row i · stride and column j · stride on.

    The first lies in the corner, and there are as many as it takes to cover every pixel: the last ones are cut off by
    the border. Each field is (rows, columns).

    Raises ValueError for a window that is larger than the image or below 1, and a stride above the window or below 1.
    """

    image: tuple[int, int]
    window: tuple[int, int]
    stride: tuple[int, int]

    def __post_init__(self):
        for side, window, stride in zip(self.image, self.window, self.stride, strict=True):
            require(1 <= window <= side, "window", self.window, f"from 1 to the image's {self.image} pixels")
            require(1 <= stride <= window, "stride", self.stride, f"from 1 to the window's {self.window} pixels")

    @classmethod
    def over(cls, image_shape: tuple[int, ...], window: Pair | None = None, stride: Pair = 1) -> Grid:
        """Windows over images (H, W, …). window: a side, or (rows, columns); None: a quarter of the image's sides,
        rounded, at least 1."""
        quarter = tuple(max((side + 2) // 4, 1) for side in image_shape[:2])
        window = _pair("window", quarter if window is None else window)
        return cls(tuple(image_shape[:2]), window, _pair("stride", stride))

    @property
    def counts(self) -> tuple[int, int]:
        """(GH, GW)."""
        rows, cols = (1 + ceil((side - window) / stride) for side, window, stride in self._axes)
        return rows, cols

    @property
    def boxes(self) -> np.ndarray:
        """[GH · GW, 4] int32: (top, left, height, width) of each window, row by row, before the border cuts it off."""
        corners = np.indices(self.counts).reshape(2, -1).T * self.stride
        return np.concatenate([corners, np.broadcast_to(self.window, corners.shape)], axis=1).astype(np.int32)

    @property
    def coverage(self) -> np.ndarray:
        """[H, W] int: how many windows cover each pixel."""
        rows, cols = self._covered
        return np.outer(rows.sum(axis=0), cols.sum(axis=0))

    def per_pixel(self, values: np.ndarray) -> np.ndarray:
        """[…, H, W]: of values […, GH, GW] by window, the mean over the windows that cover a pixel."""
        rows, cols = self._covered
        return np.einsum("...gk,gh,kw->...hw", values, rows, cols, optimize=True) / self.coverage

    @property
    def _axes(self) -> list[tuple[int, int, int]]:
        return list(zip(self.image, self.window, self.stride, strict=True))

    @property
    def _covered(self) -> list[np.ndarray]:
        """Of rows and columns: [windows, pixels], 1 where a window covers a pixel."""
        found = []
        for (side, window, stride), count in zip(self._axes, self.counts, strict=True):
            past = np.arange(side) - stride * np.arange(count)[:, None]
            found.append(((past >= 0) & (past < window)).astype(np.int64))
        return found


def inside(boxes: Array, image_shape: tuple[int, ...]) -> Array:
    """[…, H, W, 1] bool: whether a pixel of images (H, W, …) lies in boxes […, 4], (top, left, height, width)."""
    rows, cols = (
        (at >= boxes[..., i, None]) & (at < boxes[..., i, None] + boxes[..., 2 + i, None])
        for i, side in enumerate(image_shape[:2])
        for at in [jnp.arange(side).reshape(*[1] * (boxes.ndim - 1), side)]
    )
    return (rows[..., :, None] & cols[..., None, :])[..., None]


def _pair(name: str, value: Any) -> tuple[int, int]:
    found = tuple(value) if isinstance(value, tuple | list) else (value, value)
    whole = all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in found)
    require(len(found) == 2 and whole, name, value, "a whole number of pixels, or two (rows, columns)")
    return int(found[0]), int(found[1])
