"""The elements of windows, tap by tap.

A window of KH × KW has KH·KW taps. Tap (i, j) of all windows together is one strided slice of the padded image, so
whatever is summed, compared or multiplied over windows is a loop over taps of whole arrays, and its adjoint puts each
tap's share back where the slice came from.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.window import Window


def taps(rows: Window, cols: Window) -> Iterator[tuple[int, int]]:
    """(i, j) of every tap, in row-major order."""
    return np.ndindex(rows.kernel, cols.kernel)


def padded(x: Array, rows: Window, cols: Window, fill: float | Array = 0) -> Array:
    """x: [N, H, W, C] with its padding, which holds `fill`; cropped to what some window reads."""
    margins = [(w.lo, (w.output - 1) * w.stride + w.span - w.size - w.lo, 0) for w in (rows, cols)]
    if not any(any(margin) for margin in margins):
        return x
    return lax.pad(x, jnp.asarray(fill, x.dtype), [(0, 0, 0), *margins, (0, 0, 0)])  # negative margins crop


def tap(x: Array, rows: Window, cols: Window, i: int, j: int) -> Array:
    """Tap (i, j) of every window of the padded image x -> [N, OH, OW, C]."""
    for axis, window, index in ((1, rows, i), (2, cols, j)):
        first = index * window.dilation
        last = first + (window.output - 1) * window.stride
        x = lax.slice_in_dim(x, first, last + 1, window.stride, axis)
    return x


def untap(g: Array, rows: Window, cols: Window, i: int, j: int) -> Array:
    """The adjoint of `tap` after `padded` with zeros: [N, OH, OW, C] -> [N, H, W, C]."""
    margins = []
    for window, index in ((rows, i), (cols, j)):
        first = index * window.dilation - window.lo
        last = first + (window.output - 1) * window.stride
        margins.append((first, window.size - 1 - last, window.stride - 1))
    return lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *margins, (0, 0, 0)])


def interleaved(parts: list[list[Array]]) -> Array:
    """R × S arrays [N, H, W, C] -> [N, H·R, W·S, C]: every R-th row and S-th column from (r, s) on is parts[r][s]."""
    x = jnp.stack([jnp.stack(row, axis=3) for row in parts], axis=2)
    n, height, r, width, s, c = x.shape
    return x.reshape(n, height * r, width * s, c)
