"""Winograd's minimal filtering down the columns of images: F(4, 3) makes four rows of output with six products, not 12.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 3. An image is cut into
strips of m + r − 1 rows that overlap by r − 1; a strip d gives m rows of the result of a kernel w with r rows,

    Y = Aᵀ [ (G w) ∗ (Bᵀ d) ].

A, G and B act on rows alone, so each of the m + r − 1 rows in the bracket is a convolution of its own, of kernel rows
[1, KW, C, K] over image rows [W, C], and XLA's convolution takes the rows of all strips together. The gradient in w is
the same chain turned round: dL/dw = Gᵀ [ Σ_strips (Bᵀ d) ∗ (A g) ].

The paper nests two such filters, F(2×2, 3×3), one for each axis: 2.25 times fewer products for four values transformed
in place of each element of image and result. One axis alone saves 2 times for one and a half values, takes kernels of
any width, and that is faster (docs/speed.md).
"""

from __future__ import annotations

from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.formulations.chunks import chunk_size, map_chunks, sum_chunks, wide
from convnet.ops.formulations.direct import by_eigen
from convnet.ops.formulations.products import patches
from convnet.ops.window import Window

POINTS = (0, 1, -1, 0.5, -2)
"""Where polynomials are evaluated, beside ∞. More of them save more products, but lose digits; so do ±2 for ½ and −2
(Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", arXiv:1803.10986)."""
HEIGHTS = (3, 4, 5)
"""Rows of kernels for which this is done: less save too little, more leave less than two outputs with these points."""
BUDGET = 2**23
"""Transformed values of a chunk: 32 MiB of float32, which measured best with 32 MiB of L3 cache."""
SUMS_BUDGET = 2**20
"""The same for dL/dw, whose patches are to stay in the L2 caches."""


@cache
def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aᵀ: [m, a], G: [a, r] and Bᵀ: [a, a] of F(m, r), a = m + r − 1, with the first a − 1 POINTS and ∞.

    Toom's and Cook's product of polynomials of m and r terms is: evaluate both at a points, multiply, interpolate.
    A correlation is the adjoint of that product in one factor, so interpolating comes first, transposed. Lagrange's
    polynomials are divided by their denominators in G, which leaves small dyadic numbers in B.
    """
    points = POINTS[: m + r - 2]

    def evaluated(terms: int) -> np.ndarray:
        return np.vstack([np.vander(points, terms, increasing=True), np.eye(terms)[-1]])

    others = [[q for q in points if q != p] for p in points]
    denominators = [np.prod([p - q for q in rest]) for p, rest in zip(points, others, strict=True)]
    interpolating = [np.poly(roots)[::-1] for roots in (*others, points)]
    b = np.array([np.pad(row, (0, m + r - 1 - len(row))) for row in interpolating])
    return evaluated(m).T, evaluated(r) / np.array([*denominators, 1])[:, None], b


def strips(rows: Window) -> tuple[int, int]:
    """(m, number of strips) with the fewest products; the last strip may be half empty."""
    heights = range(2, len(POINTS) + 3 - rows.kernel)
    m = min(heights, key=lambda m: (-(-rows.output // m) * (m + rows.kernel - 1), m))
    return m, -(-rows.output // m)


def _products(rows: Window) -> int:
    """Rows of products for an image's rows of output: direct summation has rows.kernel for each."""
    m, count = strips(rows)
    return count * (m + rows.kernel - 1)


def values_per_image(rows: Window, cols: Window, c: int, k: int) -> int:
    """Transformed values of an image with c channels and its k results: what is convolved and what comes out."""
    return _products(rows) * (cols.size * c + cols.output * k)


def saving(rows: Window, cols: Window, c: int, k: int) -> float:
    """Multiplications that are saved for each transformed value."""
    saved = (rows.output * rows.kernel - _products(rows)) * cols.output * cols.kernel * c * k
    return saved / values_per_image(rows, cols, c, k)


def _combined(matrix: np.ndarray, terms: list[Array]) -> list[Array]:
    """matrix @ terms, without the terms whose coefficient is zero."""
    return [sum(t if a == 1 else a * t for a, t in zip(row, terms, strict=True) if a) for row in matrix.tolist()]


def _transformed(x: Array, matrix: np.ndarray, lo: int, rows: Window) -> list[Array]:
    """`matrix` @ the rows of every strip of x, padded by `lo` rows on top: [N, H, W, C] -> arrays [N, strips, W, C]."""
    m, count = strips(rows)
    length, extent = matrix.shape[1], m * (count - 1) + 1
    margins = (0, 0, 0), (lo, extent + length - 1 - x.shape[1] - lo, 0), (0, 0, 0), (0, 0, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), margins)
    return _combined(matrix, [lax.slice_in_dim(x, i, i + extent, m, axis=1) for i in range(length)])


def _row_window(rows: Window) -> Window:
    """What is left of the rows within the bracket: every strip by itself."""
    return Window(strips(rows)[1], 1)


def correlate(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, C, K], windows of stride and dilation 1 -> [N, OH, OW, K]."""
    (n, _, _, c), k = x.shape, w.shape[3]
    m, count = strips(rows)
    a, g, b = matrices(m, rows.kernel)
    kernels = jnp.einsum("ai,ijck->ajck", jnp.asarray(g, wide(w.dtype)), w.astype(wide(w.dtype)))

    def images(x: Array) -> Array:
        parts = _transformed(x, b, rows.lo, rows)
        parts = [by_eigen(d, kernels[i : i + 1], rows=_row_window(rows), cols=cols) for i, d in enumerate(parts)]
        y = jnp.stack(_combined(a, parts), axis=2).reshape(-1, m * count, cols.output, k)
        return y[:, : rows.output]

    return map_chunks(images, x, chunk_size(n, values_per_image(rows, cols, c, k), BUDGET))


def kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K], windows of stride and dilation 1 -> [KH, KW, C, K]."""
    (n, _, _, c), k = x.shape, g.shape[3]
    a, transform, b = matrices(strips(rows)[0], rows.kernel)

    def images(x: Array, g: Array) -> list[Array]:
        pairs = zip(_transformed(x, b, rows.lo, rows), _transformed(g, a.T, 0, rows), strict=True)
        return [u.reshape(-1, k).T @ patches(d, _row_window(rows), cols).reshape(-1, cols.kernel * c) for d, u in pairs]

    sums = sum_chunks(images, x, g, chunk_size(n, values_per_image(rows, cols, c, k), SUMS_BUDGET))
    sums = jnp.stack(sums).reshape(-1, k, cols.kernel, c)
    return jnp.einsum("ai,akjc->ijck", jnp.asarray(transform, wide(x.dtype)), sums).astype(x.dtype)
