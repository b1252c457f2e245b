"""Winograd's minimal filtering along both axes: convolutions with fewer products than the definition names.

With the transforms of `tilings` along rows and columns, an output tile of 2×2 is

    Y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ d B) ] A,

and since ⊙ is elementwise, each point (one of the rows and one of the columns) is a matrix product [tiles, C] @ [C, K]
of its own: for 3×3 kernels 16 products per four outputs instead of 36, for 5×5 kernels 49 instead of 100. The gradient
in w is the same chain turned round: dL/dw = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A g Aᵀ) ] G, products [C, tiles] @ [tiles, K].

Each sum is shorter than the definition's, so in float32 the result is about as near to the exact one as that of the
direct convolution, or nearer (docs/speed.md). Larger tiles save more products, but lose digits.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.formulations.chunks import chunk_size, map_chunks, sum_chunks, wide
from convnet.ops.formulations.tilings import Tiling, tiling_of
from convnet.ops.taps import interleaved
from convnet.ops.window import Window

BUDGET = 2**23
"""Transformed values of a chunk: 32 MiB of float32, which measured best with 32 MiB of L3 cache."""

Point = tuple[int, int]
"""One of the rows and one of the columns."""


def _combine(signs: np.ndarray, parts: list[Array]) -> list[Array]:
    """signs @ parts, for signs of 0, 1 and −1."""

    def combined(row: np.ndarray) -> Array:
        plus, minus = ([part for sign, part in zip(row, parts, strict=True) if sign == s] for s in (1, -1))
        total = plus.pop(0) if plus else -minus.pop(0)
        for part in plus:
            total += part
        for part in minus:
            total -= part
        return total

    return [combined(row) for row in signs]


def _filters(rows: Tiling, cols: Tiling) -> dict[Point, list[tuple[int, int]]]:
    """For every point, the filters, of the rows and of the columns, that need a product there."""
    return {
        (p, q): [(int(a), int(b)) for a in np.flatnonzero(rows.used[p]) for b in np.flatnonzero(cols.used[q])]
        for p, q in np.ndindex(rows.points, cols.points)
    }


def values_per_image(rows: Window, cols: Window, c: int, k: int) -> int:
    """Transformed values of an image with c channels and its k results: operands and results of the products."""
    rows, cols = tiling_of(rows), tiling_of(cols)
    return rows.tiles * cols.tiles * sum(len(filters) * c + k for filters in _filters(rows, cols).values())


def _kernels(w: Array, rows: Tiling, cols: Tiling) -> dict[Point, Array]:
    """[KH, KW, C, K] -> at every point [filters · C, K]."""
    matrices = (jnp.asarray(tiling.kernels, wide(w.dtype)) for tiling in (rows, cols))
    kernels = jnp.einsum("pai,qbj,ijck->pqabck", *matrices, w.astype(wide(w.dtype)))
    return {
        at: jnp.concatenate([kernels[*at, *pair] for pair in filters]) for at, filters in _filters(rows, cols).items()
    }


def _images(x: Array, rows: Tiling, cols: Tiling) -> dict[Point, Array]:
    """[N, H, W, C] -> at every point [tiles, filters · C]."""

    def along(x: Array, axis: int, tiling: Tiling) -> list[list[Array]]:
        """By filter and point."""
        length, step = 2 * (tiling.tiles - 1) * tiling.step + 1, tiling.step

        def tiles(first: int) -> list[Array]:
            starts = range(first, first + tiling.points * step, step)
            return [lax.slice_in_dim(x, start, start + length, 2 * step, axis) for start in starts]

        return [_combine(tiling.inputs, tiles(first)) for first in tiling.firsts]

    margins = [(*tiling.padding, 0) for tiling in (rows, cols)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
    parts = [[along(part, 2, cols) for part in points] for points in along(x, 1, rows)]
    read = {(p, q): [parts[a][p][b][q] for a, b in filters] for (p, q), filters in _filters(rows, cols).items()}
    return {at: jnp.concatenate(parts, 3).reshape(-1, x.shape[3] * len(parts)) for at, parts in read.items()}


def _tile(at: dict[Point, Array], rows: Tiling, cols: Tiling) -> list[list[Array]]:
    """Aᵀ M A, where M is what stands `at` points: the 2×2 results of every tile."""
    columns = [_combine(rows.outputs, [at[p, q] for p in range(rows.points)]) for q in range(cols.points)]
    return [_combine(cols.outputs, [column[half] for column in columns]) for half in range(2)]


def correlate(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, C, K], windows of dilation 1 -> [N, OH, OW, K]."""
    (n, _, _, c), k = x.shape, w.shape[3]
    size = chunk_size(n, values_per_image(rows, cols, c, k), BUDGET)
    rows, cols = tiling_of(rows), tiling_of(cols)
    kernels = _kernels(w, rows, cols)

    def images(x: Array) -> Array:
        products = {at: part @ kernels[at] for at, part in _images(x, rows, cols).items()}
        tile = _tile({at: p.reshape(-1, rows.tiles, cols.tiles, k) for at, p in products.items()}, rows, cols)
        return interleaved(tile)[:, : rows.output, : cols.output]

    return map_chunks(images, x, size)


def kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K], windows of dilation 1 -> [KH, KW, C, K]."""
    (n, _, _, c), k = x.shape, g.shape[3]
    size = chunk_size(n, values_per_image(rows, cols, c, k), BUDGET)
    rows, cols = tiling_of(rows), tiling_of(cols)
    filters = _filters(rows, cols)

    def halves(g: Array, axis: int, tiling: Tiling) -> list[Array]:
        """A g along an axis."""
        parts = [lax.slice_in_dim(g, half, None, 2, axis) for half in range(2)]
        return _combine(tiling.outputs.T, parts)

    def images(x: Array, g: Array) -> list[Array]:
        margins = [(0, 2 * tiling.tiles - tiling.output) for tiling in (rows, cols)]
        g = jnp.pad(g, [(0, 0), *margins, (0, 0)])
        upstream = [part.reshape(-1, k) for row in halves(g, 1, rows) for part in halves(row, 2, cols)]
        return [part.T @ of_point for part, of_point in zip(_images(x, rows, cols).values(), upstream, strict=True)]

    sums = sum_chunks(images, x, g, size)
    found = {
        (*at, *pair): part
        for (at, pairs), total in zip(filters.items(), sums, strict=True)
        for pair, part in zip(pairs, total.reshape(len(pairs), c, k), strict=True)
    }
    matrices = [jnp.asarray(tiling.kernels, wide(x.dtype)) for tiling in (rows, cols)]
    full = rows.points, cols.points, rows.used.shape[1], cols.used.shape[1]
    products = jnp.stack([found.get(index, jnp.zeros((c, k), wide(x.dtype))) for index in np.ndindex(full)])
    dw = jnp.einsum("pai,qbj,pqabck->ijck", *matrices, products.reshape(*full, c, k))
    return dw.astype(x.dtype)
