"""Winograd's minimal filtering F(2×2, 3×3): convolutions of 3×3 kernels with 16 products per four outputs, not 36.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308. Images are cut into tiles of 4×4
that overlap by 2; a tile d gives an output tile of 2×2,

    Y = Aᵀ [ Σ_c (G w Gᵀ) ⊙ (Bᵀ d B) ] A,

and since ⊙ is elementwise, each of the 16 elements is a matrix product [tiles, C] @ [C, K] of its own. The gradient in
w is the same chain turned round: dL/dw = Gᵀ [ Σ_tiles (Bᵀ d B) ⊙ (A g Aᵀ) ] G, 16 products [C, tiles] @ [tiles, K].

Each sum runs over C instead of 9·C terms, so in float32 the result is about as near to the exact one as that of the
direct convolution, or nearer (docs/speed.md). Larger tiles save more products, but lose digits; longer or strided
kernels can be made of such filters, but save too little.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.formulations.chunks import chunk_size, map_chunks, sum_chunks, wide
from convnet.ops.taps import interleaved
from convnet.ops.window import Window

G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
BUDGET = 2**23
"""Transformed values of a chunk: 32 MiB of float32, which measured best with 32 MiB of L3 cache."""


def tiles(window: Window) -> int:
    """Tiles of two outputs; the last may be half empty."""
    return -(-window.output // 2)


def values_per_image(rows: Window, cols: Window, c: int, k: int) -> int:
    """Transformed values of an image with c channels and its k results: operands and results of the products."""
    return 16 * tiles(rows) * tiles(cols) * (c + k)


def _input(d: list[Array]) -> list[Array]:
    """Bᵀd along one axis: 4 -> 4."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _output(m: list[Array]) -> list[Array]:
    """Aᵀm along one axis: 4 -> 2."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _output_adjoint(g: list[Array]) -> list[Array]:
    """A g along one axis, the adjoint of `_output`: 2 -> 4."""
    return [g[0], g[0] + g[1], g[0] - g[1], -g[1]]


def _transformed(x: Array, length: int, counts: tuple[int, int], transform: Callable) -> list[Array]:
    """Both axes of every tile of `length`², at steps of 2, transformed: 16 arrays [tiles, channels]."""

    def along(x: Array, axis: int) -> list[Array]:
        extent = 2 * (counts[axis - 1] - 1) + 1
        return transform([lax.slice_in_dim(x, i, i + extent, 2, axis) for i in range(length)])

    parts = [part for row in along(x, 1) for part in along(row, 2)]
    return [part.reshape(-1, x.shape[3]) for part in parts]


def _images(x: Array, rows: Window, cols: Window) -> list[Array]:
    """Bᵀ d B: [N, H, W, C] -> 16 times [tiles, C]."""
    margins = [(w.lo, 2 * tiles(w) + 2 - w.size - w.lo, 0) for w in (rows, cols)]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *margins, (0, 0, 0)])
    return _transformed(x, 4, (tiles(rows), tiles(cols)), _input)


def correlate(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [3, 3, C, K], windows of stride and dilation 1 -> [N, OH, OW, K]."""
    (n, _, _, c), k = x.shape, w.shape[3]
    transform = jnp.asarray(G, wide(w.dtype))
    kernels = jnp.einsum("ai,bj,ijck->abck", transform, transform, w.astype(transform.dtype)).reshape(16, c, k)

    def images(x: Array) -> Array:
        products = [part @ kernel for part, kernel in zip(_images(x, rows, cols), kernels, strict=True)]
        products = [product.reshape(-1, tiles(rows), tiles(cols), k) for product in products]
        columns = [_output(products[j::4]) for j in range(4)]
        tile = [_output([column[half] for column in columns]) for half in range(2)]
        return interleaved(tile)[:, : rows.output, : cols.output]

    return map_chunks(images, x, chunk_size(n, values_per_image(rows, cols, c, k), BUDGET))


def kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K], windows of stride and dilation 1 -> [3, 3, C, K]."""
    (n, _, _, c), k = x.shape, g.shape[3]
    counts = tiles(rows), tiles(cols)

    def images(x: Array, g: Array) -> list[Array]:
        g = jnp.pad(g, [(0, 0), *((0, 2 * tiles(w) - w.output) for w in (rows, cols)), (0, 0)])
        upstream = _transformed(g, 2, counts, _output_adjoint)
        return [part.T @ of_part for part, of_part in zip(_images(x, rows, cols), upstream, strict=True)]

    sums = sum_chunks(images, x, g, chunk_size(n, values_per_image(rows, cols, c, k), BUDGET))
    transform = jnp.asarray(G, wide(x.dtype))
    dw = jnp.einsum("ai,bj,abck->ijck", transform, transform, jnp.stack(sums).reshape(4, 4, c, k))
    return dw.astype(x.dtype)
