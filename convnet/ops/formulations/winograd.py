"""Winograd's minimal filtering down the columns of images: F(4, 3) makes four rows of output with six products, not 12.

Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308, section 3. An image is cut into
strips of m + r − 1 rows that overlap by r − 1; a strip d gives m rows of the result of a kernel w with r rows,

    Y = Aᵀ [ (G w) ∗ (Bᵀ d) ].

A, G and B act on rows alone, so each of the m + r − 1 rows in the bracket is a convolution of its own, of kernel rows
[1, KW, C, K] over image rows [W, C], and XLA's convolution takes the rows of all strips together. The gradient in w is
the same chain turned round: dL/dw = Gᵀ [ Σ_strips (Bᵀ d) ∗ (A g) ].

The paper nests F(2, 3) in itself, one for each axis: 2.25 times fewer products, for four values transformed in place of
each element of image and result. F(4, 3) along one axis saves 2 times for one and a half values and takes kernels of
any width; that is faster, and costs digits: `amplification` says how many at most. Sums cancel, so what is zero because
a window holds zeros alone comes out as zero only to rounding, and layers with such windows are left to others.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from convnet.ops.formulations.chunks import chunk_size, map_chunks, sum_chunks, wide
from convnet.ops.formulations.direct import by_eigen
from convnet.ops.formulations.products import patches
from convnet.ops.taps import padded
from convnet.ops.window import Window

POINTS = (0, 1, -1, 0.5, -2)
"""Where polynomials are evaluated, the first m + r − 2 of them and ∞. More of them save more products, but lose digits;
so do ±2 for ½ and −2 (Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution for Deep
Neural Networks", arXiv:1803.10986, study their choice)."""
TOLERATED = 4.0
"""The root mean square `amplification` up to which a filter is used: two bits of float32's 24."""
HEIGHTS = (3, 4, 5)
"""Rows of kernels for which this is done: fewer save too little, more leave less than two outputs with these points."""
BUDGET = 2**23
"""Transformed values of a chunk: 32 MiB of float32, which measured best with 32 MiB of L3 cache."""
SUMS_BUDGET = 2**21
"""The same for dL/dw, patches included: 8 MiB, of which each product reads a sixth or more."""


@cache
def matrices(m: int, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aᵀ: [m, t], G: [t, r] and Bᵀ: [t, t] of F(m, r), where t = m + r − 1 is the number of points.

    Toom's and Cook's product of polynomials of m and r terms is: evaluate both at t points, multiply, interpolate.
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


class Amplification(NamedTuple):
    """κ: rounding error of a filtered sum, in units of what the sum of the definition can be known to."""

    rms: float
    """For independent operands and errors, root mean square."""
    worst: float
    """For no operands and errors of equal size it is larger, the constant of the bound in |·|."""


def amplification(m: int, r: int, *, kernel_gradient: bool = False) -> Amplification:
    """κ of F(m, r), from its matrices alone: the same for every machine, compiler and order of summation.

    With n roundings along the longest way to a result, and γ = nu / (1 − nu), whatever the order of summation
        |ŷ − y| ≤ γ |Aᵀ| ( |G| |w| ∗ |Bᵀ| |d| )      where direct summation has      |ŷ − y| ≤ γ |w| ∗ |d|
    (Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 3.5; Barabasz et al., theorem 2).
    `worst` is the quotient of the right sides for operands of equal size, `rms` that of the root mean squares of
    Σ (a term's error) for independent ones; both of the row of results that comes off worst. For dL/dw the chain is
    turned round, and m terms are summed where the forward pass has r.
    """
    a, g, b = matrices(m, r)
    outer, inner, terms = (g.T, a.T, m) if kernel_gradient else (a, g, r)
    squares = outer**2 @ (np.sum(inner**2, 1) * np.sum(b**2, 1)) / terms
    sizes = abs(outer) @ (abs(inner).sum(1) * abs(b).sum(1)) / terms
    return Amplification(float(np.sqrt(squares.max())), float(sizes.max()))


def heights(r: int) -> range:
    """Every m for which the points suffice, for kernels of r rows."""
    return range(2, len(POINTS) + 3 - r)


def strips(rows: Window) -> tuple[int, int]:
    """(m, number of strips) with the fewest products; the last strip may be half empty."""
    choices = [(m, -(-rows.output // m)) for m in heights(rows.kernel)]
    return min(choices, key=lambda choice: choice[1] * (choice[0] + rows.kernel - 1))


def _products(rows: Window) -> int:
    """Rows of products for an image's rows of output: direct summation has rows.kernel for each."""
    m, count = strips(rows)
    return count * (m + rows.kernel - 1)


def values_per_image(rows: Window, cols: Window, c: int, k: int) -> int:
    """Transformed values of an image with c channels and of its k results."""
    return _products(rows) * (cols.size * c + cols.output * k)


def gradient_values_per_image(rows: Window, cols: Window, c: int, k: int) -> int:
    """The same for dL/dw: of an image's patches of rows and of its gradients."""
    return _products(rows) * cols.output * (cols.kernel * c + k)


def saving(rows: Window, cols: Window, c: int, k: int) -> float:
    """Multiplications that are saved for each transformed value."""
    saved = (rows.output * rows.kernel - _products(rows)) * cols.output * cols.kernel * c * k
    return saved / values_per_image(rows, cols, c, k)


def combined(matrix: np.ndarray, terms: list[Array]) -> list[Array]:
    """matrix @ terms, without the terms whose coefficient is zero."""
    return [sum(t if a == 1 else a * t for a, t in zip(row, terms, strict=True) if a) for row in matrix.tolist()]


def _transformed(x: Array, matrix: np.ndarray, m: int, count: int) -> list[Array]:
    """`matrix` @ the rows of every strip of x, strips m rows apart: [N, H, W, C] -> arrays [N, count, W, C].

    H is what windows read: rows that padding crops must not come into a strip, where they cancel only to rounding.
    """
    length, extent = matrix.shape[1], m * (count - 1) + 1
    x = jnp.pad(x, [(0, 0), (0, extent + length - 1 - x.shape[1]), (0, 0), (0, 0)])
    return combined(matrix, [lax.slice_in_dim(x, i, i + extent, m, axis=1) for i in range(length)])


def correlate(x: Array, w: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], w: [KH, KW, C, K], windows of stride and dilation 1 -> [N, OH, OW, K]."""
    (n, _, width, c), k = x.shape, w.shape[3]
    m, count = strips(rows)
    a, g, b = matrices(m, rows.kernel)
    kernels = jnp.split(jnp.einsum("ti,ijck->tjck", jnp.asarray(g, wide(w.dtype)), w.astype(wide(w.dtype))), len(g))

    def images(x: Array) -> Array:
        parts = _transformed(padded(x, rows, Window(width, 1)), b, m, count)
        parts = [
            by_eigen(part, kernel, rows=Window(count, 1), cols=cols)
            for part, kernel in zip(parts, kernels, strict=True)
        ]
        y = jnp.stack(combined(a, parts), axis=2).reshape(-1, m * count, cols.output, k)
        return y[:, : rows.output]

    return map_chunks(images, x, chunk_size(n, values_per_image(rows, cols, c, k), BUDGET))


def kernel_gradient(x: Array, g: Array, *, rows: Window, cols: Window) -> Array:
    """x: [N, H, W, C], g: [N, OH, OW, K], windows of stride and dilation 1 -> [KH, KW, C, K]."""
    (n, _, width, c), k = x.shape, g.shape[3]
    m, count = strips(rows)
    a, transform, b = matrices(m, rows.kernel)
    length = cols.kernel * c

    def images(x: Array, g: Array) -> list[Array]:
        parts = _transformed(padded(x, rows, Window(width, 1)), b, m, count)
        upstream = _transformed(g, a.T, m, count)
        return [
            u.reshape(-1, k).T @ patches(part, Window(count, 1), cols).reshape(-1, length)
            for part, u in zip(parts, upstream, strict=True)
        ]

    budget = max(SUMS_BUDGET, len(b) * length * k)  # or reading and writing the sums would take longest
    sums = sum_chunks(images, x, g, chunk_size(n, gradient_values_per_image(rows, cols, c, k), budget))
    sums = jnp.stack(sums).reshape(-1, k, cols.kernel, c)
    return jnp.einsum("ti,tkjc->ijck", jnp.asarray(transform, wide(x.dtype)), sums).astype(x.dtype)
